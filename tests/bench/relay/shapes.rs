//! The shapes of queries, and their expected results.

use super::dataset::{BLOCK, CUSTOMERS, Dataset, Description, Id, TOPIC, scatter, text};

/// The shape of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The notes of one author.
    AuthorAndKind,
    /// Ten events by their ids.
    TenIds,
    /// The replies to one note.
    Thread,
    /// The notes that mention a person.
    MentionAndKind,
    /// The newest notes.
    Newest,
    /// Results and feedback for two job requests of one customer.
    TwoJobs,
    /// The newest events with a tag that most events have.
    Topic,
}

impl Shape {
    pub(crate) const ALL: [Self; 7] = [
        Self::AuthorAndKind,
        Self::TenIds,
        Self::Thread,
        Self::MentionAndKind,
        Self::Newest,
        Self::TwoJobs,
        Self::Topic,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AuthorAndKind => "author + kind",
            Self::TenIds => "ids × 10",
            Self::Thread => "#e",
            Self::MentionAndKind => "#p + kind, limit 20",
            Self::Newest => "kind, limit 20",
            Self::TwoJobs => "#e × 2 + #p + kinds (two jobs)",
            Self::Topic => "#t, limit 50",
        }
    }
}

/// A query with its expected result.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) filter: String,
    /// The number of matching events.
    pub(crate) expected: usize,
    /// The ids of the matching events, if they are checked.
    pub(crate) ids: Vec<Id>,
}

/// The number of queries whose results are checked by id as well as by number.
pub(crate) const CHECKED: u64 = 20;

/// This number of queries for the first `stored` events, spread over all of them.
pub(crate) fn questions(dataset: &mut Dataset, shape: Shape, stored: u64, count: u64) -> Vec<Question> {
    (0..count)
        .map(|number| {
            let block = scatter(number * 7 + 3) % (stored / BLOCK).max(1);
            let (filter, answer) = question(dataset, shape, stored, block, scatter(number));
            let checked = if number < CHECKED { answer.as_slice() } else { &[] };
            let ids = checked.iter().map(|description| dataset.id(description)).collect();
            Question { filter, expected: answer.len(), ids }
        })
        .collect()
}

fn question(
    dataset: &mut Dataset,
    shape: Shape,
    stored: u64,
    block: u64,
    chance: u64,
) -> (String, Vec<Description>) {
    let among = |test: &dyn Fn(&Description) -> bool| Description::block(block).filter(test).collect();
    let newest = |limit: usize, test: &dyn Fn(&Description) -> bool| {
        (0..stored).rev().map(Description::of).filter(test).take(limit).collect()
    };
    // A customer's groups are 40 apart; the first event of a group is a request, the fifth a note.
    let customer = chance % CUSTOMERS;
    let request = |turn: u64| block * BLOCK + (customer + turn * CUSTOMERS) * 10;
    match shape {
        Shape::AuthorAndKind => {
            let author = dataset.author(block, customer);
            let filter = format!(r#"{{"authors":["{author}"],"kinds":[1]}}"#);
            (filter, among(&|event| event.author == customer && event.kind == 1))
        }
        Shape::TenIds => {
            let place = |index: u64| scatter(chance.wrapping_add(index * index + 1)) % stored.min(BLOCK);
            // One from each position in a group, so that they differ.
            let places = (0..10).map(|index| place(index) / 10 * 10 + index);
            let events: Vec<Description> =
                places.map(|place| Description::of(block * BLOCK + place)).collect();
            let ids: Vec<String> =
                events.iter().map(|event| format!(r#""{}""#, text(&dataset.id(event)))).collect();
            (format!(r#"{{"ids":[{}]}}"#, ids.join(",")), events)
        }
        Shape::Thread => {
            // The root of an existing reply, so that there are results.
            let reply = Description::of(block * BLOCK + chance % (BLOCK / 10) * 10 + 5);
            let root = reply.answered.unwrap_or_default();
            let id = text(&dataset.id(&Description::of(root)));
            (format!(r##"{{"#e":["{id}"]}}"##), among(&|event| event.answered == Some(root)))
        }
        Shape::MentionAndKind => {
            let author = dataset.author(block, customer);
            let filter = format!(r##"{{"#p":["{author}"],"kinds":[1],"limit":20}}"##);
            let mut answer: Vec<Description> =
                among(&|event| event.mentioned == Some(customer) && event.kind == 1);
            answer.reverse();
            answer.truncate(20);
            (filter, answer)
        }
        Shape::Newest => (r#"{"kinds":[1],"limit":20}"#.to_owned(), newest(20, &|event| event.kind == 1)),
        Shape::TwoJobs => {
            let jobs = [request(0), request(1)];
            let [one, two] = jobs.map(|number| text(&dataset.id(&Description::of(number))));
            let author = dataset.author(block, customer);
            let filter =
                format!(r##"{{"kinds":[6000,6001,6100,7000],"#e":["{one}","{two}"],"#p":["{author}"]}}"##);
            (filter, among(&|event| event.answered.is_some_and(|number| jobs.contains(&number))))
        }
        Shape::Topic => {
            let filter = format!(r##"{{"#t":["{TOPIC}"],"limit":50}}"##);
            (filter, newest(50, &|event| event.topical))
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr_sdk::nostr::filter::MatchEventOptions;
    use nostr_sdk::nostr::{Event, Filter};

    use super::{BLOCK, Dataset, Description, Shape, questions};

    #[test]
    fn answers_are_those_that_another_implementation_finds() {
        let mut dataset = Dataset::new(1);
        let stored = BLOCK * 2;
        let events: Vec<Event> = (0..stored)
            .rev()
            .map(|number| serde_json::from_str(&dataset.sign(&Description::of(number)).1).unwrap())
            .collect();
        for shape in Shape::ALL {
            for question in questions(&mut dataset, shape, stored, 20) {
                let filter: Filter = serde_json::from_str(&question.filter).unwrap();
                let mut found: Vec<String> = events
                    .iter()
                    .filter(|event| filter.match_event(event, MatchEventOptions::new()))
                    .take(filter.limit.unwrap_or(usize::MAX))
                    .map(|event| event.id.to_hex())
                    .collect();
                let mut expected: Vec<String> = question.ids.iter().map(super::text).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{shape:?} {}", question.filter);
                assert!(question.expected == found.len() && !found.is_empty(), "{shape:?}");
            }
        }
    }
}
