use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::Sql;

use super::{Effect, Relay};
use crate::filter::Filter;
use crate::reason::Reason;
use crate::store::Viewer;

impl<S: Sql> Relay<S> {
    /// What a `REQ` of these filters would bring from the store, without a subscription and with the limits of those
    /// inside.
    pub(super) fn query(
        &mut self,
        now: Timestamp,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<Arc<str>>, Reason> {
        let limits = self.limits().for_those_inside();
        if filters.len() > limits.max_filters {
            return Err(Reason::invalid(format!("a query can have at most {} filters", limits.max_filters)));
        }
        self.prepare_search(now, filters, effects);
        let mut events = Vec::new();
        match self.store.query(now, filters, &limits, &Viewer::everything(), &mut |event| events.push(event))
        {
            Ok(_) => Ok(events),
            Err(error) => {
                effects.push(Effect::Failed(error));
                Err(crate::reason::storage_failed())
            }
        }
    }
}
