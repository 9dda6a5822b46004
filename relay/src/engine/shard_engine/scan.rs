//! `COUNT` (NIP-45) and the records of a reconciliation (NIP-77), which read everything that matches, in slices.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, PublicKey};

use crate::admission::Access;
use crate::engine::shard_api::{ReadReply, ReadRequest, StoreRead};
use crate::limits::Limits;
use crate::nip45::HyperLogLog;
use crate::nip77::Records;
use crate::reason::{Prefix, Reason};
use crate::store::{Coverage, Scan, Store};
use openagents_host::nostr::message::Count;

/// A `COUNT` or a reconciliation that may be unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ReadScan {
    scan: Scan,
    found: Found,
}

/// What was found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// The number of events, where none can be found twice.
    Number(u64),
    /// The row keys of events, and the registers of their authors where NIP-45 defines them.
    RowKeys(Vec<u64>, Option<HyperLogLog>),
    /// The times and ids of events.
    Records(Vec<(u64, EventId)>),
}

impl ReadScan {
    pub(super) fn new(read: &StoreRead, access: &Access, limits: &Limits) -> Self {
        let (filters, counts) = match &read.request {
            ReadRequest::Events(filters) | ReadRequest::Count(filters) => (filters.as_slice(), true),
            ReadRequest::Records(filter) => (std::slice::from_ref(filter), false),
        };
        let scan = Scan::new(filters, read.now, &read.viewer(access), limits.max_look_ups);
        let registers = match filters {
            [filter] => HyperLogLog::of(filter),
            _ => None,
        };
        let found = if !counts {
            Found::Records(Vec::new())
        } else if registers.is_none() && scan.finds_each_once() {
            Found::Number(0)
        } else {
            Found::RowKeys(Vec::new(), registers)
        };
        Self { scan, found }
    }

    /// Continues for about this many look-ups. `None` if there is more to do.
    pub(super) fn advance<S: Sql>(
        &mut self,
        read: &StoreRead,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        slice: u64,
    ) -> Result<Option<ReadReply>, SqlError> {
        let columns = match &self.found {
            Found::Number(_) => "count(*)",
            Found::RowKeys(_, None) => "e.seq",
            Found::RowKeys(_, Some(_)) => "e.seq, e.pubkey",
            Found::Records(_) => "e.created_at, e.id",
        };
        let found = &mut self.found;
        let viewer = read.viewer(access);
        let scanned = store.scan(&mut self.scan, read.now, &viewer, slice, columns, &mut |row| {
            let first: u64 = row.column(0)?;
            match found {
                Found::Number(count) => *count = count.saturating_add(first),
                Found::RowKeys(row_keys, registers) => {
                    row_keys.push(first);
                    if let Some(registers) = registers {
                        registers.add(&row.column::<PublicKey>(1)?);
                    }
                }
                Found::Records(records) => records.push((first, row.column(1)?)),
            }
            Ok(ControlFlow::Continue(()))
        });
        let coverage = match scanned {
            // What was found is still a lower bound.
            Err(SqlError::Interrupted) => Some(Coverage::Part),
            scanned => scanned?,
        };
        Ok(coverage.map(|coverage| self.reply(read, limits, coverage)))
    }

    /// How many look-ups it may still make.
    pub(in crate::engine) const fn left(&self) -> u64 {
        self.scan.left()
    }

    /// Approximately how many bytes of memory it takes.
    pub(in crate::engine) fn memory_bytes(&self) -> usize {
        match &self.found {
            Found::Number(_) => 0,
            Found::RowKeys(row_keys, _) => size_of::<u64>().saturating_mul(row_keys.capacity()),
            Found::Records(records) => size_of::<(u64, EventId)>().saturating_mul(records.capacity()),
        }
    }

    fn reply(&mut self, read: &StoreRead, limits: &Limits, coverage: Coverage) -> ReadReply {
        let is_approximate = coverage == Coverage::Part;
        let number = |row_keys: &[u64]| u64::try_from(row_keys.len()).unwrap_or(u64::MAX);
        match &mut self.found {
            Found::Number(count) => {
                ReadReply::Count(Count { count: *count, is_approximate, registers: None })
            }
            Found::RowKeys(row_keys, registers) => {
                row_keys.sort_unstable();
                row_keys.dedup();
                // A client would take the registers of some authors for those of all.
                let registers = registers.take().filter(|_| !is_approximate);
                let registers = registers.map(HyperLogLog::into_registers);
                ReadReply::Count(Count { count: number(row_keys), is_approximate, registers })
            }
            Found::Records(records) => {
                ReadReply::Records(answered(std::mem::take(records), read, limits, is_approximate))
            }
        }
    }
}

/// The records of a filter. If it has a `limit`, those of the newest events, as in a `REQ`.
fn answered(
    mut found: Vec<(u64, EventId)>,
    read: &StoreRead,
    limits: &Limits,
    is_part: bool,
) -> Result<Records, Reason> {
    let (most, look_ups) = (limits.max_reconciled_events, limits.max_look_ups);
    if is_part || u64::try_from(found.len()).is_ok_and(|found| found > most) {
        // In the words of NIP-77's example and of its description: clients look for one or the other.
        let text = format!(
            "this query is too big, with too many records: at most {most} events and {look_ups} look-ups"
        );
        return Err(Reason::new(Prefix::Blocked, text));
    }
    if let ReadRequest::Records(filter) = &read.request
        && let Some(limit) = filter.limit.and_then(|limit| usize::try_from(limit).ok())
    {
        found.sort_unstable_by_key(|(created_at, id)| (Reverse(*created_at), *id));
        found.dedup();
        found.truncate(limit);
    }
    Ok(found.into_iter().collect())
}
