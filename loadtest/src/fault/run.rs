//! Runner: one repetition of a case from its first process to its verdict, and all of them in
//! sequence.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::balancer::node_name;
use super::board::State;
use super::cases::{Case, Needs};
use super::cluster::{Bus, Cluster, Parts};
use super::crowd::{BEGIN_MAX, Crowd, Plan, rooms_of};
use super::error::FaultError;
use super::lists::Marks;
use super::redis::{Failover, Redis};
use super::replicas::{Deed, Replicas};
use super::report::{Outcome, Results, print, print_outcome};
use super::rest::Rest;
use super::stage::{Pace, Stage, VICTIM};
use super::store::{Cql, Store};
use super::verdict::{Evidence, hold_to};
use super::{Chosen, Fault};
use crate::prepare::{Issuer, Key};

/// How long all members may take to see a room up to the store's head.
const REST_MAX: Duration = Duration::from_secs(30);

/// Repetitions share no rooms and members: each has its own range of so many ids, the most that
/// `--rooms` and `--members` take. So a member's list holds the rooms of one repetition.
const STRIDE: u32 = 2_000;

/// The parts that all repetitions share.
pub(super) struct Ground<'a> {
    fault: &'a Fault,
    issuer: Issuer,
    replicas: Option<Replicas>,
    keyspace: String,
    pace: Pace,
}

pub(crate) async fn run_all(fault: &Fault) -> Result<(), FaultError> {
    let Chosen { fit, unfit } = fault.chosen()?;
    if !fault.embedded && fault.cql.is_empty() {
        return Err(FaultError::Unfit(
            "where is the store? --cql, or --embedded",
        ));
    }
    for (case, lack) in unfit {
        print(&format!("{case:<36} is not run: {lack}"))?;
    }
    let ground = Ground::new(fault)?;
    let mut results = Results::open(&fault.results, &ground.settings())?;
    let repeat = if fault.short { 1 } else { fault.repeat };
    let (mut number, mut failed) = (0, 0);
    for case in fit {
        for repetition in 1..=repeat {
            let ok = match results.before(case.name, repetition) {
                Some(ok) => ok,
                None => {
                    let outcome = ground.repeat(&case, repetition, number).await?;
                    results.append(&fault.results, &outcome)?;
                    print_outcome(&outcome)?;
                    outcome.ok
                }
            };
            number += 1;
            failed += u32::from(!ok);
        }
    }
    if failed > 0 {
        return Err(FaultError::Broken {
            failed,
            run: number,
        });
    }
    print(&format!("{number} runs, no promise broken"))
}

impl<'a> Ground<'a> {
    pub(super) fn new(fault: &'a Fault) -> Result<Self, FaultError> {
        let folder = fault.folder.clone();
        std::fs::create_dir_all(&folder)
            .map_err(|error| FaultError::File(folder.clone(), error))?;
        Key {
            folder: folder.clone(),
        }
        .run()?;
        let issuer = Issuer::open(&folder)?;
        let replicas = (!fault.embedded).then(|| Replicas {
            addresses: fault.cql.clone(),
            script: fault.infra.join("replica"),
        });
        Ok(Self {
            fault,
            issuer,
            replicas,
            keyspace: format!("fault_{:08x}", rand::rng().random::<u32>()),
            pace: if fault.short { Pace::SHORT } else { Pace::FULL },
        })
    }

    /// Results are comparable if this text is the same.
    fn settings(&self) -> String {
        let Fault {
            nodes,
            members,
            rooms,
            send_every,
            short,
            embedded,
            sabotage,
            ..
        } = self.fault;
        format!(
            "{nodes} nodes, {members} members, {rooms} rooms, a send each {send_every:?}, \
             short {short}, embedded {embedded}, sabotage {sabotage:?}"
        )
    }
}

impl Ground<'_> {
    async fn repeat(
        &self,
        case: &Case,
        repetition: u32,
        number: u32,
    ) -> Result<Outcome, FaultError> {
        let folder = self.fresh_folder(&format!("{}-{repetition}", case.name))?;
        let mut outcome = Outcome {
            case: case.name,
            repetition,
            settings: self.settings(),
            ..Outcome::default()
        };
        let tokens = self.tokens(number)?;
        let cluster = self.cluster(case.needs, &folder).await?;
        self.make_rooms(&cluster, number).await?;
        let rest = Rest::new(cluster.balancer.address, tokens.clone())?;
        let mut looking = tokio::task::JoinSet::new();
        looking.spawn(cluster.memory.clone().look());
        let crowd = Crowd::start(&Plan {
            tokens: &tokens,
            first_room: first_room(number),
            rooms: self.fault.rooms,
            address: cluster.balancer.address,
            send_every: self.fault.send_every,
        });
        let mut stage = Stage {
            cluster,
            crowd,
            pace: self.pace,
            next_binary: self.fault.binary.get(1).cloned(),
        };
        let mut marks = Marks::new();
        let played = play(case, &mut stage, &rest, &mut marks, &mut outcome).await;
        if let Err(error) = played {
            outcome.violate("stuck", error.to_string());
        }
        let Stage { crowd, cluster, .. } = stage;
        let store = self.store(&cluster, tokens).await?;
        wait_for_the_rest(&crowd, &store).await?;
        outcome.counts = crowd.board.with(|s| s.counts.clone());
        let evidence = Evidence {
            rooms: crowd.finish().await?,
            marks,
            store: &store,
            rest: &rest,
        };
        evidence.judge(&self.fault.sabotage, &mut outcome).await?;
        outcome.rss_max_mib = cluster.memory.max_mib();
        hold_to(case.demands, self.fault.rss_mib_max, &mut outcome);
        outcome.ok = outcome.violations.is_empty();
        Ok(outcome)
    }

    /// Empty folder for logs: those of an earlier attempt would mislead.
    pub(super) fn fresh_folder(&self, name: &str) -> Result<PathBuf, FaultError> {
        let folder = self.fault.folder.join(name);
        drop(std::fs::remove_dir_all(&folder));
        match std::fs::create_dir_all(&folder) {
            Ok(()) => Ok(folder),
            Err(error) => Err(FaultError::File(folder, error)),
        }
    }

    /// Tokens of the members of this repetition. New ones each time, as they are valid for an hour.
    pub(super) fn tokens(&self, number: u32) -> Result<Vec<String>, FaultError> {
        let tokens = (1..=self.fault.members).map(|member| {
            let token = self.issuer.member_token(number * STRIDE + member)?;
            Ok(token.into_exposed())
        });
        tokens.collect()
    }

    pub(super) async fn cluster(&self, needs: Needs, folder: &Path) -> Result<Cluster, FaultError> {
        let bus = match needs {
            _ if self.fault.embedded => Bus::Local,
            Needs::Failover => Bus::Failover(Box::new(Failover::start(folder).await?)),
            Needs::Node | Needs::Nodes | Needs::Redis | Needs::Replicas | Needs::TwoBuilds => {
                Bus::Redis(Box::new(Redis::start(folder, "redis").await?))
            }
        };
        let store = match &self.replicas {
            None => format!("file:{}", folder.join("chat").display()),
            Some(replicas) => {
                let hosts: Vec<_> = replicas.addresses.iter().map(ToString::to_string).collect();
                format!("scylla://{}/{}", hosts.join(","), self.keyspace)
            }
        };
        Cluster::start(Parts {
            binaries: &self.fault.binary,
            nodes: if self.fault.embedded {
                1
            } else {
                self.fault.nodes.into()
            },
            infra: &self.fault.infra,
            folder,
            bus,
            store,
            jwks: self.fault.folder.join("jwks.json"),
            replicas: self.replicas.clone(),
            more: &self.fault.node_args,
            markets: &[],
            internal: None,
        })
        .await
    }

    pub(super) async fn make_rooms(
        &self,
        cluster: &Cluster,
        number: u32,
    ) -> Result<(), FaultError> {
        let mut members = vec![Vec::new(); self.fault.rooms as usize];
        for member in 1..=self.fault.members {
            for room in rooms_of(member, self.fault.rooms) {
                members[room as usize].push(number * STRIDE + member);
            }
        }
        let server = format!("http://{}", cluster.nodes[0].admin);
        let maker = self.issuer.room_maker(server)?;
        for (room, members) in (first_room(number)..).zip(&members) {
            if !members.is_empty() {
                maker.put(room, members).await?;
            }
        }
        Ok(())
    }

    async fn store(&self, cluster: &Cluster, tokens: Vec<String>) -> Result<Store, FaultError> {
        match &self.replicas {
            Some(replicas) => {
                let cql = Cql::open(&replicas.addresses, &self.keyspace).await?;
                Ok(Store::Cql(Box::new(cql)))
            }
            None => Ok(Store::Embedded {
                address: cluster.balancer.address,
                tokens,
            }),
        }
    }
}

/// The first room of this repetition in this run of the program.
pub(super) fn first_room(number: u32) -> u32 {
    1 + number * STRIDE
}

/// Traffic, the fault, recovery, traffic, rest.
async fn play(
    case: &Case,
    stage: &mut Stage,
    rest: &Rest,
    marks: &mut Marks,
    outcome: &mut Outcome,
) -> Result<(), FaultError> {
    stage.crowd.until_begun().await?;
    let whispers = stage.crowd.whispers();
    whispers.begin(&node_name(VICTIM)).await?;
    *marks = stage.crowd.board.with(|s| marks_of(s));
    rest.mark_all(marks).await?;
    let (board, around) = (stage.crowd.board.clone(), stage.pace.around);
    sleep(around).await;
    let began = SystemClock.now();
    let acting = async {
        let acted = (case.act)(stage).await;
        let ended = SystemClock.now();
        board.with(|s| s.watch_deliveries(ended));
        (acted, ended)
    };
    let ((acted, ended), ()) = tokio::join!(acting, whispers.say_within(around));
    outcome.fault_ms = ended.saturating_duration_since(began).as_millis();
    if acted.is_err() && case.needs == Needs::Replicas {
        heal(stage).await;
    }
    acted?;
    let delivers = board
        .until("every room delivers again", BEGIN_MAX, State::all_deliver)
        .await;
    if delivers.is_err() {
        let silent: Vec<u32> = board.with(|s| s.silent_rooms().collect());
        outcome.violate("not_recovered", format!("rooms {silent:?} do not deliver"));
    } else {
        outcome.recovered_ms = Some(board.with(|s| s.slowest_room()).as_millis());
        sleep(stage.pace.around).await;
    }
    board.with(|s| s.traffic = false);
    stage.crowd.until_level().await
}

/// Read marks: every second member has read all that it received.
fn marks_of(state: &State) -> Marks {
    let seen = state.seen.iter().map(|(place, seq)| (*place, *seq));
    seen.filter(|((member, _), _)| member.is_multiple_of(2))
        .collect()
}

/// Replicas outlive the repetition: the next one must not find them frozen or killed.
async fn heal(stage: &Stage) {
    let Some(replicas) = &stage.cluster.replicas else {
        return;
    };
    for deed in [Deed::Thaw, Deed::Start] {
        // A failure shows at the next start of a node.
        drop(replicas.hurt_all(deed).await);
    }
}

/// All members may agree and still be behind the store: they get time to catch up. The judge
/// reports what is missing after that.
async fn wait_for_the_rest(crowd: &Crowd, store: &Store) -> Result<(), FaultError> {
    let rooms = crowd.board.with(|s| s.members_of.clone());
    for (room, members) in rooms {
        let reader = members.first().copied().unwrap_or(1);
        let head = store
            .room(room, reader)
            .await?
            .last()
            .map_or(0, |entry| entry.at.seq);
        let seen = |s: &State, member: &u32| s.seen.get(&(*member, room)).copied();
        let all = |s: &State| {
            members
                .iter()
                .all(|member| seen(s, member).unwrap_or(0) >= head)
        };
        if crowd
            .board
            .until("the rest is seen", REST_MAX, all)
            .await
            .is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}
