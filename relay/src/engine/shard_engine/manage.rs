//! Management calls (NIP-86) that read or change the database.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};
use serde_json::{Value, json};

use super::{RETRY_AFTER_FAILURE, ShardEngine};
use crate::admission::{Lists, MAX_LISTED, Network};
use crate::engine::Effect;
use crate::management::{Call, List, METHODS, ManagementReply, Rules, SignedCall, UsedToken};

/// How many events of banned authors are removed at once.
const MAX_PURGED_PER_STEP: u64 = 500;

/// The pause between two such removals, so that other work gets a turn.
const PURGE_PAUSE: Duration = Duration::from_millis(20);

impl<S: Sql> ShardEngine<S> {
    /// Carries out a management call. A token can authorize only one change; read-only calls may repeat a token,
    /// because two requests within the same second have the same one.
    pub(in crate::engine) fn manage(
        &mut self,
        now: Timestamp,
        signed: &SignedCall,
        effects: &mut Vec<Effect>,
    ) -> Result<ManagementReply, UsedToken> {
        let SignedCall { token, call } = signed;
        let store = self.store.clone();
        // A failed call does not use up its token.
        let done = store.sql().transaction(|| match call.is_read_only() || store.use_token(now, token)? {
            true => self.carry_out(call).map(Ok),
            false => Ok(Err(UsedToken)),
        });
        let done = done.and_then(|answer| {
            self.reload_rules()?;
            Ok(answer)
        });
        match done {
            Ok(answer) => answer,
            Err(error) => {
                effects.push(Effect::Failed(error));
                Ok(Err("the relay could not reach its storage; try again".to_owned()))
            }
        }
    }

    fn carry_out(&self, call: &Call) -> Result<ManagementReply, SqlError> {
        let store = &self.store;
        if let Some(refusal) = self.in_configuration(call) {
            return Ok(Err(refusal));
        }
        match call {
            Call::SupportedMethods => return Ok(Ok(json!(METHODS))),
            Call::BanPubkey(key, reason) => {
                let answer = self.list(List::BannedPubkeys, &key.to_hex(), reason.as_deref())?;
                if answer.is_ok() {
                    store.begin_purge(key)?;
                }
                return Ok(answer);
            }
            Call::UnbanPubkey(key) => {
                store.end_purge(key)?;
                store.unlist(List::BannedPubkeys, &key.to_hex())?;
            }
            Call::AllowPubkey(key, reason) => {
                return self.list(List::AllowedPubkeys, &key.to_hex(), reason.as_deref());
            }
            Call::UnallowPubkey(key) => store.unlist(List::AllowedPubkeys, &key.to_hex())?,
            Call::BanEvent(id, reason) => {
                let answer = self.list(List::BannedEvents, &id.to_string(), reason.as_deref())?;
                if answer.is_ok() {
                    store.remove(id)?;
                    store.unlist(List::AllowedEvents, &id.to_string())?;
                }
                return Ok(answer);
            }
            Call::AllowEvent(id, reason) => {
                let answer = self.list(List::AllowedEvents, &id.to_string(), reason.as_deref())?;
                if answer.is_ok() {
                    store.unlist(List::BannedEvents, &id.to_string())?;
                }
                return Ok(answer);
            }
            Call::AllowKind(kind) => {
                let subject = kind.to_string();
                let was_disallowed = store.is_listed(List::DisallowedKinds, &subject)?;
                store.unlist(List::DisallowedKinds, &subject)?;
                // Allowing a kind that was disallowed must not turn on the list of allowed kinds, which would refuse
                // all others.
                if !was_disallowed || !self.rules.lists.allowed_kinds.is_empty() {
                    return self.list(List::AllowedKinds, &subject, None);
                }
            }
            Call::DisallowKind(kind) => {
                store.unlist(List::AllowedKinds, &kind.to_string())?;
                return self.list(List::DisallowedKinds, &kind.to_string(), None);
            }
            Call::BlockAddress(address, reason) => {
                return self.list(List::BlockedAddresses, &address.to_string(), reason.as_deref());
            }
            Call::UnblockAddress(address) => {
                for listed in store.listed(List::BlockedAddresses)? {
                    if listed
                        .subject
                        .parse()
                        .is_ok_and(|listed: IpAddr| Network::of(listed) == Network::of(*address))
                    {
                        store.unlist(List::BlockedAddresses, &listed.subject)?;
                    }
                }
            }
            Call::Show(list) => return self.show(*list),
            Call::ShowReported => {
                let reported = store.reported()?;
                let entry =
                    |name, listed: crate::management::ListEntry| entry(name, &listed.subject, listed.reason);
                return Ok(Ok(reported.into_iter().map(|listed| entry("id", listed)).collect()));
            }
            Call::Change(wording, text) => store.set_text(*wording, text)?,
        }
        Ok(Ok(true.into()))
    }

    /// Adds an entry to a list, unless the list is full.
    fn list(&self, list: List, subject: &str, reason: Option<&str>) -> Result<ManagementReply, SqlError> {
        let most = u64::try_from(MAX_LISTED).unwrap_or(u64::MAX);
        if self.store.count_listed(list)? >= most && !self.store.is_listed(list, subject)? {
            return Ok(Err(format!("this list is full: it has {most} entries")));
        }
        self.store.list(list, subject, reason)?;
        Ok(Ok(true.into()))
    }

    /// Why a call cannot have an effect: the configuration takes precedence, and only the deployer can change it.
    fn in_configuration(&self, call: &Call) -> Option<String> {
        let lists = &self.config.admission.lists;
        let stands = match call {
            Call::UnbanPubkey(key) => lists.blocked_pubkeys.contains(key),
            Call::UnallowPubkey(key) => lists.allowed_pubkeys.contains(key),
            Call::AllowKind(kind) => lists.blocked_kinds.contains(kind),
            Call::UnblockAddress(address) => lists.blocks(Some(*address)),
            Call::AllowEvent(id, _) => lists.blocked_events.contains(id),
            _ => false,
        };
        stands
            .then(|| "this is set in the configuration of the relay and can be changed only there".to_owned())
    }

    /// The entries of a list, including configured ones.
    fn show(&self, list: List) -> Result<ManagementReply, SqlError> {
        let configured = &self.config.admission.lists;
        if list == List::AllowedKinds {
            let kinds = self.rules.lists.allowed_kinds.difference(&self.rules.lists.blocked_kinds);
            return Ok(Ok(kinds.map(|kind| Value::from(kind.0)).collect()));
        }
        let (name, configured) = match list {
            List::AllowedPubkeys => ("pubkey", hex(&configured.allowed_pubkeys)),
            List::BannedPubkeys => ("pubkey", hex(&configured.blocked_pubkeys)),
            List::BlockedAddresses => ("ip", hex(&configured.blocked_addresses)),
            List::BannedEvents => ("id", hex(&configured.blocked_events)),
            List::AllowedEvents | List::AllowedKinds | List::DisallowedKinds => ("id", Vec::new()),
        };
        let listed = self.store.listed(list)?;
        let of_configuration = configured
            .into_iter()
            .filter(|subject| listed.iter().all(|listed| listed.subject != *subject))
            .map(|subject| entry(name, &subject, Some("in the configuration".to_owned())));
        let of_operators = listed.iter().map(|listed| entry(name, &listed.subject, listed.reason.clone()));
        Ok(Ok(of_operators.chain(of_configuration).collect()))
    }

    /// Starts to remove the events of an author who was just banned.
    pub(in crate::engine) fn begin_purge(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.next_purge = Some(now);
        self.purge(now, effects);
    }

    /// Removes some of the events of banned authors, if that is due.
    pub(super) fn purge(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.next_purge.is_none_or(|next| next > now) {
            return;
        }
        self.next_purge = match self.store.purge(MAX_PURGED_PER_STEP) {
            Ok(more) => more.then_some(now + PURGE_PAUSE),
            Err(error) => {
                effects.push(Effect::Failed(error));
                Some(now + RETRY_AFTER_FAILURE)
            }
        };
    }

    /// Reloads the rules from the database.
    pub(super) fn reload_rules(&mut self) -> Result<(), SqlError> {
        let mut rules = Rules::of(Lists::clone(&self.config.admission.lists));
        self.store.complete_rules(&mut rules)?;
        self.rules = Arc::new(rules);
        Ok(())
    }
}

fn entry(name: &str, subject: &str, reason: Option<String>) -> Value {
    match reason {
        Some(reason) => json!({ name: subject, "reason": reason }),
        None => json!({ name: subject }),
    }
}

fn hex<T: ToString>(set: &std::collections::BTreeSet<T>) -> Vec<String> {
    set.iter().map(ToString::to_string).collect()
}
