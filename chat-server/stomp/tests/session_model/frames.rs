//! What each frame of a client does in the model.

use std::collections::BTreeMap;

use stomp::Version;

use super::inbound::{ClientFrame, Fault, broken, too_large};
use super::model::{
    Ack, CAN_SEND_MS, Model, Name, Request, SUBSCRIPTIONS_MAX, State, Subscription,
    TRANSACTION_BYTES_MAX, TRANSACTION_FRAMES_MAX, TRANSACTIONS_MAX, Timer, Transaction, WANTS_MS,
};
use super::support::visible;

impl Model {
    pub(super) fn on_frame(&mut self, frame: &ClientFrame) -> Result<(), Fault> {
        let command = frame.command;
        let may_have_body = ["SEND", "MESSAGE", "ERROR"].contains(&command);
        if !frame.body.is_empty() && !may_have_body && self.version != Some(Version::V1_0) {
            return Err(broken(format!("{command} cannot have a body")));
        }
        let Some(version) = self.version else {
            return match command {
                "CONNECT" | "STOMP" => self.on_connect(frame),
                _ => Err(broken("CONNECT has to come first")),
            };
        };
        match command {
            "CONNECT" | "STOMP" => Err(broken("already connected")),
            "SEND" => self.on_send(frame, version),
            "SUBSCRIBE" => self.on_subscribe(frame, version),
            "UNSUBSCRIBE" => self.on_unsubscribe(frame, version),
            "ACK" | "NACK" => self.on_ack(frame, version),
            "BEGIN" => self.on_begin(frame),
            "COMMIT" => self.on_commit(frame),
            "ABORT" => {
                self.end_transaction(frame)?;
                self.confirm(frame.receipt());
                Ok(())
            }
            "DISCONNECT" => {
                self.state = State::Leaving;
                self.received.clear();
                self.transactions.clear();
                self.silence = None;
                self.ask("disconnect", frame.receipt(), Request::Finish);
                Ok(())
            }
            _ => Err(broken(format!("{command} is not a client's command"))),
        }
    }

    pub(super) fn on_connect(&mut self, frame: &ClientFrame) -> Result<(), Fault> {
        let offered: Vec<_> = frame
            .header("accept-version")
            .unwrap_or("1.0")
            .split(',')
            .collect();
        let common = Version::ALL
            .into_iter()
            .filter(|v| offered.contains(&v.as_str()));
        let no_common = || broken("supported versions are 1.0,1.1,1.2");
        let version = common.max().ok_or_else(no_common)?;
        let beats = match frame.header("heart-beat") {
            Some(value) if version != Version::V1_0 => value,
            _ => "0,0",
        };
        let numbers: Vec<_> = beats.split(',').map(str::parse).collect();
        let [Ok(can_send), Ok(wants)] = numbers[..] else {
            return Err(broken("heart-beat has to be two numbers of milliseconds"));
        };
        self.version = Some(version);
        self.state = State::LoggingIn(can_send, wants);
        self.say(format!("login {version}"));
        self.requests.push(Request::Login);
        Ok(())
    }

    pub(super) fn accept(&mut self) {
        let (State::LoggingIn(can_send, wants), Some(version)) = (self.state, self.version) else {
            return;
        };
        let none = version == Version::V1_0;
        // The server requests the client's own interval, clamped to the server's bounds.
        let wished = match can_send {
            0 => WANTS_MS,
            _ => can_send.clamp(CAN_SEND_MS, WANTS_MS),
        };
        let beat = if none {
            "0,0".to_owned()
        } else {
            format!("1000,{wished}")
        };
        self.say(format!(
            "CONNECTED version:{version} heart-beat:{beat} session:s1 server:model/1 user-name:7"
        ));
        let timer = |every, since| Timer { every, since };
        let since = self.now;
        self.beat = (wants > 0).then(|| timer(wants.max(CAN_SEND_MS) * 8 / 10, since));
        self.silence = (can_send > 0).then(|| timer(can_send.max(wished) * 2, since));
        self.state = State::Open;
    }

    pub(super) fn on_send(&mut self, frame: &ClientFrame, version: Version) -> Result<(), Fault> {
        let line = format!("send {} {}", frame.needed("destination")?, frame.body);
        let kind = frame.header("content-type");
        if version == Version::V1_2 && kind.is_some_and(|kind| !kind.contains('/')) {
            return Err(broken("content-type is not a MIME type"));
        }
        if frame.header("transaction").is_some() {
            self.bind(frame)?.sends.push(line);
        } else {
            self.ask(&line, frame.receipt(), Request::Confirm);
        }
        Ok(())
    }

    pub(super) fn on_subscribe(
        &mut self,
        frame: &ClientFrame,
        version: Version,
    ) -> Result<(), Fault> {
        let destination = frame.needed("destination")?;
        let name = name_of(frame, version)?;
        let mode = frame.header("ack").unwrap_or("auto");
        if !(["auto", "client"].contains(&mode)
            || (mode == "client-individual" && version != Version::V1_0))
        {
            return Err(broken("unknown ack mode"));
        }
        if self.subscriptions.contains_key(&name) {
            return Err(broken("subscription id is in use"));
        }
        if self.subscriptions.len() == SUBSCRIPTIONS_MAX {
            let receipt = frame
                .receipt()
                .map(|id| format!(" receipt:{}", visible(&id)));
            let receipt = receipt.unwrap_or_default();
            self.say(format!(
                "not subscribed, {SUBSCRIPTIONS_MAX} at most{receipt}"
            ));
            return Ok(());
        }
        let number = self.subscribed;
        self.subscribed += 1;
        let line = format!("subscribe #{number} {destination} {mode}");
        let subscription = Subscription {
            number,
            mode: mode.into(),
            waiting: BTreeMap::new(),
        };
        self.subscriptions.insert(name, subscription);
        self.ask(&line, frame.receipt(), Request::Confirm);
        Ok(())
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        frame: &ClientFrame,
        version: Version,
    ) -> Result<(), Fault> {
        if let Some(known) = self.subscriptions.remove(&name_of(frame, version)?) {
            self.say(format!("unsubscribe #{}", known.number));
        }
        self.confirm(frame.receipt());
        Ok(())
    }

    pub(super) fn on_begin(&mut self, frame: &ClientFrame) -> Result<(), Fault> {
        let id = frame.needed("transaction")?.to_owned();
        if self.transactions.contains_key(&id) {
            return Err(broken("transaction is open already"));
        }
        if self.transactions.len() == TRANSACTIONS_MAX {
            return Err(broken(format!(
                "more than {TRANSACTIONS_MAX} open transactions"
            )));
        }
        self.transactions.insert(id, Transaction::default());
        self.confirm(frame.receipt());
        Ok(())
    }

    pub(super) fn on_commit(&mut self, frame: &ClientFrame) -> Result<(), Fault> {
        let transaction = self.end_transaction(frame)?;
        if transaction.sends.is_empty() {
            self.confirm_commit(transaction, frame.receipt());
        } else {
            let line = format!("commit [{}]", transaction.sends.join(", "));
            let request = |receipt| Request::Commit(transaction, receipt);
            self.ask(&line, frame.receipt(), request);
        }
        Ok(())
    }

    pub(super) fn confirm_commit(&mut self, transaction: Transaction, receipt: Option<String>) {
        transaction
            .acks
            .into_iter()
            .for_each(|ack| self.settle(ack));
        for receipt in transaction.receipts.into_iter().chain(receipt) {
            self.confirm(Some(receipt));
        }
    }

    pub(super) fn end_transaction(&mut self, frame: &ClientFrame) -> Result<Transaction, Fault> {
        let ended = self.transactions.remove(frame.needed("transaction")?);
        ended.ok_or_else(|| broken("no such transaction"))
    }

    /// The transaction a frame belongs to, its receipt and size noted.
    pub(super) fn bind(&mut self, frame: &ClientFrame) -> Result<&mut Transaction, Fault> {
        let id = frame.header("transaction").unwrap_or_default();
        let found = self.transactions.get_mut(id);
        let transaction = found.ok_or_else(|| broken("no such transaction"))?;
        transaction.frames += 1;
        transaction.bytes += frame.bytes();
        if transaction.frames > TRANSACTION_FRAMES_MAX || transaction.bytes > TRANSACTION_BYTES_MAX
        {
            return Err(too_large("transaction too large"));
        }
        transaction.receipts.extend(frame.receipt());
        Ok(transaction)
    }

    pub(super) fn on_ack(&mut self, frame: &ClientFrame, version: Version) -> Result<(), Fault> {
        let nack = frame.command == "NACK";
        let (message, id) = match version {
            Version::V1_0 if nack => return Err(broken("NACK does not exist in STOMP 1.0")),
            Version::V1_0 => (frame.needed("message-id")?, frame.header("subscription")),
            Version::V1_1 => (
                frame.needed("message-id")?,
                Some(frame.needed("subscription")?),
            ),
            Version::V1_2 => {
                let (message, id) = frame.needed("id")?.split_once('@').unwrap_or(("", ""));
                (message, Some(id))
            }
        };
        let unknown = || broken("no such message to acknowledge");
        let message: u64 = message.parse().ok().ok_or_else(unknown)?;
        let mut named = self.subscriptions.iter().filter(|(name, known)| {
            known.waiting.contains_key(&message)
                && id.is_none_or(|id| **name == Name::Id(id.into()))
        });
        let subscription = named.next().ok_or_else(unknown)?.1.number;
        let ack = Ack {
            nack,
            subscription,
            message,
        };
        if frame.header("transaction").is_some() {
            self.bind(frame)?.acks.push(ack);
        } else {
            self.settle(ack);
            self.confirm(frame.receipt());
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, ack: Ack) {
        let (number, message) = (ack.subscription, ack.message);
        let found = self.subscription(number);
        let Some(known) = found.filter(|known| known.waiting.contains_key(&message)) else {
            return;
        };
        let first = if known.mode == "client" { 0 } else { message };
        let covered: Vec<_> = known
            .waiting
            .range(first..=message)
            .map(|(id, nacked)| (*id, *nacked))
            .collect();
        if !ack.nack {
            known.waiting.retain(|id, _| *id < first || *id > message);
            return self.say(format!("acknowledged #{number} {message}"));
        }
        for (id, nacked) in covered {
            let known = self.subscription(number).expect("it was there");
            if nacked {
                known.waiting.remove(&id);
                self.say(format!("rejected #{number} {id}"));
            } else {
                known.waiting.insert(id, true);
                self.say(format!("redeliver #{number} {id}"));
            }
        }
    }
}

fn name_of(frame: &ClientFrame, version: Version) -> Result<Name, Fault> {
    match frame.needed("id") {
        Ok(id) => Ok(Name::Id(id.into())),
        Err(_) if version == Version::V1_0 => {
            Ok(Name::Destination(frame.needed("destination")?.into()))
        }
        Err(fault) => Err(fault),
    }
}
