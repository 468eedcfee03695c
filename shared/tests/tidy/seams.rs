//! Rules about seams: a trait with several adapters, of which only `app.rs` picks one.

use crate::syntax;
use crate::tree::Source;

struct Seam {
    server: &'static str,
    /// The top-level module that defines the trait and its adapters.
    home: &'static str,
    contract: &'static str,
    adapters: &'static [&'static str],
}

const SEAMS: &[Seam] = &[
    Seam {
        server: "chat-server",
        home: "bus",
        contract: "Bus",
        adapters: &["LocalBus", "LocalNode", "RedisBus"],
    },
    Seam {
        server: "chat-server",
        home: "presence",
        contract: "Presence",
        adapters: &["LocalPresence", "LocalMembers", "RedisPresence"],
    },
    Seam {
        server: "chat-server",
        home: "store",
        contract: "MessageStore",
        adapters: &["EmbeddedStore", "ScyllaStore"],
    },
    Seam {
        server: "chat-server",
        home: "store",
        contract: "RoomStore",
        adapters: &["EmbeddedStore", "ScyllaStore"],
    },
    Seam {
        server: "chat-server",
        home: "store",
        contract: "MemberStore",
        adapters: &["EmbeddedStore", "ScyllaStore"],
    },
    Seam {
        server: "chat-server",
        home: "store",
        contract: "RecordStore",
        adapters: &["EmbeddedStore", "ScyllaStore"],
    },
    Seam {
        server: "chat-server",
        home: "push",
        contract: "PushService",
        adapters: &["FcmService", "WebPush"],
    },
    Seam {
        server: "market-api",
        home: "cache",
        contract: "Cache",
        adapters: &["LocalCache", "RedisCache"],
    },
    Seam {
        server: "market-api",
        home: "images",
        contract: "ObjectStore",
        adapters: &["LocalImages", "S3Images"],
    },
    Seam {
        server: "market-api",
        home: "gateway",
        contract: "Gateway",
        adapters: &["TossGateway"],
    },
    Seam {
        server: "market-api",
        home: "payouts",
        contract: "Payouts",
        adapters: &["HttpPayouts"],
    },
];

impl Seam {
    fn may_name_adapters(&self, path: &str) -> bool {
        let inside = path
            .strip_prefix(self.server)
            .and_then(|path| path.strip_prefix("/src/"));
        let module = inside.and_then(|path| path.split('/').next());
        module
            .is_some_and(|m| m == "app.rs" || m == "app" || m.trim_end_matches(".rs") == self.home)
    }

    /// Adapters named in a file that should know the trait only.
    fn leaks(&self, source: &Source) -> Vec<String> {
        let may_leak = self
            .adapters
            .iter()
            .any(|adapter| source.text.contains(adapter));
        if !may_leak || self.may_name_adapters(&source.path) {
            return Vec::new();
        }
        let mut named = production_words(source);
        named.retain(|word| self.adapters.contains(&word.as_str()));
        named.dedup();
        let line = |adapter| format!("{}: {adapter} is named outside app.rs", source.path);
        named.into_iter().map(line).collect()
    }

    /// Types that implement the trait and are missing in the table above, so that it cannot go stale.
    fn unlisted(&self, source: &Source) -> Vec<String> {
        let pointers = ["Arc", "Box"];
        if !source.text.contains(&format!("{} for ", self.contract)) {
            return Vec::new();
        }
        let words = production_words(source);
        words
            .windows(3)
            .filter(|three| three[0] == self.contract && three[1] == "for")
            .map(|three| three[2].as_str())
            .filter(|name| !self.adapters.contains(name) && !pointers.contains(name))
            .map(|name| {
                format!(
                    "{}: {name} is not in the table of seams (tidy/seams.rs)",
                    source.path
                )
            })
            .collect()
    }
}

fn production_words(source: &Source) -> Vec<String> {
    syntax::words(&syntax::tokens(&syntax::production_items(&source.text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_none, tree};

    const BUS: &Seam = &SEAMS[0];

    fn leaks(path: &str, text: &str) -> usize {
        BUS.leaks(&Source::new(path, text)).len()
    }

    #[test]
    fn an_adapter_named_elsewhere_is_found() {
        let text = "use crate::bus::RedisBus;\n";
        assert_eq!(leaks("chat-server/src/hub/topic.rs", text), 1);
        assert_eq!(leaks("chat-server/src/main.rs", text), 1);
        assert_eq!(leaks("infra/standalone/src/main.rs", text), 1);
        assert_eq!(leaks("chat-server/src/hub/bus.rs", text), 1);
        assert_eq!(leaks("loadtest/src/bus/redis.rs", text), 1);
    }

    #[test]
    fn an_adapter_may_be_named_at_home_in_app_and_in_tests() {
        let text = "use crate::bus::RedisBus;\n";
        assert_eq!(leaks("chat-server/src/app.rs", text), 0);
        assert_eq!(leaks("chat-server/src/bus.rs", text), 0);
        assert_eq!(leaks("chat-server/src/bus/redis.rs", text), 0);
        let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n    {text}}}\n");
        assert_eq!(leaks("chat-server/src/hub/topic.rs", &tests), 0);
        assert_eq!(
            leaks(
                "chat-server/src/hub/topic.rs",
                "// not RedisBus, MyRedisBus\n"
            ),
            0
        );
    }

    #[test]
    fn an_adapter_missing_in_the_table_is_found() {
        let found = |text: &str| {
            BUS.unlisted(&Source::new("chat-server/src/bus/x.rs", text))
                .len()
        };
        assert_eq!(found("impl Bus for NatsBus {\n}\n"), 1);
        assert_eq!(found("impl super::Bus for RedisBus {\n}\n"), 0);
        assert_eq!(found("impl<B: Bus + ?Sized> Bus for Arc<B> {\n}\n"), 0);
    }

    #[test]
    fn the_tree_keeps_its_seams() {
        let sources = tree::sources();
        let mut found = Vec::new();
        for source in sources.iter().filter(|source| source.is_production()) {
            for seam in SEAMS {
                found.extend(seam.leaks(source));
                if source.path.starts_with(&format!("{}/src/", seam.server)) {
                    found.extend(seam.unlisted(source));
                }
            }
        }
        assert_none(&found);
    }
}
