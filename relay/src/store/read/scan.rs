//! Scans: the examination of everything that matches, for `COUNT` (NIP-45) and reconciliation (NIP-77), in slices.

use openagents_host::Timestamp;
use openagents_host::sql::{NextRow, Row, Sql, SqlError};

use super::driver::Driver;
use super::query::{is_in_order, needs_viewer_filters, viewer_filters};
use super::scan_budget::{DrivingRows, weight};
use super::select::{QueryContext, SelectBody, lower};
use crate::store::Store;
use crate::store::statement::Statement;
use crate::store::viewer::Viewer;
use openagents_host::nostr::filter::Filter;

/// How far a scan of the stored events that match any of some filters has come. The filters' `limit` is ignored.
///
/// Its slices are statements of their own, so other messages can be handled in between. An event that is stored or
/// removed meanwhile may be found or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The filters that are left; the last is next.
    filters: Vec<Filter>,
    /// The condition that finds the rows of the next filter, once it has been chosen.
    driver: Option<Driver>,
    /// Where its rows continue: a row key if they are in order, otherwise how many were examined.
    next: u64,
    /// How many look-ups may still be made.
    left: u64,
}

/// How much of what matches was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    All,
    /// Only some: too many rows would have to be examined.
    Part,
}

impl Scan {
    /// A scan for a viewer that makes at most this many look-ups (see [`max_look_ups`](crate::Limits::max_look_ups)).
    #[must_use]
    pub fn new(filters: &[Filter], now: Timestamp, viewer: &Viewer<'_>, look_ups: u64) -> Self {
        let context = QueryContext { now, viewer };
        let mut readable = Vec::new();
        for filter in filters.iter().rev().filter(|filter| !filter.matches_nothing()) {
            if needs_viewer_filters(filter, &context) {
                readable.extend(viewer_filters(filter, &context));
            } else {
                readable.push(filter.clone());
            }
        }
        Self { filters: readable, driver: None, next: 0, left: look_ups }
    }

    /// How many look-ups may still be made.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Whether no event can be found twice.
    pub fn finds_each_once(&self) -> bool {
        self.filters.len() <= 1
            && self.filters.iter().flat_map(|filter| filter.tags.values()).all(|values| values.len() == 1)
    }
}

impl<S: Sql> Store<S> {
    /// Continues a scan with about this many look-ups, and calls `each` with these columns of the events `e` that it
    /// finds, in no particular order. An event may be found more than once. Returns `None` if there is more to examine.
    ///
    /// # Errors
    /// When the database fails. `each` may have been called by then.
    pub fn scan(
        &self,
        scan: &mut Scan,
        now: Timestamp,
        viewer: &Viewer<'_>,
        slice: u64,
        columns: &str,
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<Option<Coverage>, SqlError> {
        let context = QueryContext { now, viewer };
        let mut left_here = slice;
        while let Some(filter) = scan.filters.last() {
            let driver = match scan.driver {
                Some(driver) => driver,
                None => self.driver(filter, &context)?,
            };
            let weight = weight(driver, filter, &context);
            // A row that takes more look-ups than a slice is examined all the same.
            let fit = left_here.checked_div(weight).unwrap_or(0).max(u64::from(left_here == slice));
            let at_most = fit.min(scan.left.checked_div(weight).unwrap_or(0));
            let is_in_order = is_in_order(driver, filter);
            let (from, skipped) =
                if is_in_order { (scan.next.max(lower(filter)), 0) } else { (lower(filter), scan.next) };
            let body = SelectBody::of(driver, filter, &context);
            let rows = DrivingRows { body, from, skipped, at_most };
            let (found, last) = self.count_rows(&rows.one_more())?;
            if found > 0 && at_most > 0 {
                let select = matching(&rows, columns);
                self.sql.query(select.text(), &select.values(), each)?;
            }
            let look_ups = found.min(at_most).saturating_mul(weight);
            scan.left = scan.left.saturating_sub(look_ups);
            left_here = left_here.saturating_sub(look_ups);
            if found > at_most {
                scan.driver = Some(driver);
                scan.next = if is_in_order { last } else { scan.next.saturating_add(at_most) };
                return Ok((scan.left < weight).then_some(Coverage::Part));
            }
            scan.filters.pop();
            (scan.driver, scan.next) = (None, 0);
        }
        Ok(Some(Coverage::All))
    }
}

/// Columns of the matching events among these rows.
fn matching(rows: &DrivingRows<'_>, columns: &str) -> Statement {
    let SelectBody { driver, filter, .. } = rows.body;
    // The rest of the statement refers to a tag as `t` and to an event as `e`.
    let (name, of_row) = match driver {
        Driver::Tag(_) => ("t", "t.seq, t.kind"),
        _ => ("found", "e.seq"),
    };
    let mut select = Statement::default();
    select.push("SELECT ").push(columns).push(" FROM (SELECT ").push(of_row);
    rows.push(&mut select);
    select
        .push(") AS ")
        .push(name)
        .push(" CROSS JOIN event AS e ON e.seq = ")
        .push(name)
        .push(".seq WHERE true");
    if !rows.is_range_sought() {
        rows.body.push_range(&mut select, lower(filter));
    }
    rows.body.push_rest(&mut select);
    select
}
