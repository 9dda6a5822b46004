//! The inputs of a job request: its `i` tags.

use openagents_host::nostr::{EventId, Tag};

/// An input of a job request: an `i` tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInput {
    /// The text, URL or id; see [`kind`](Self::kind).
    pub data: String,
    /// The type of the input.
    pub kind: InputKind,
    /// The relay that has the event or the job's result.
    pub relay: Option<String>,
    /// What the input is for; the job kind defines the words.
    pub marker: Option<String>,
}

/// The type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// `text`: the data is the input itself.
    Text,
    /// `url`: the input is at this URL.
    Url,
    /// `event`: the data is an event id.
    Event,
    /// `job`: the data is the id of another job request, whose output is the input.
    Job,
}

impl JobInput {
    /// An input without relay hint or marker.
    #[must_use]
    pub fn new(kind: InputKind, data: impl Into<String>) -> Self {
        Self { data: data.into(), kind, relay: None, marker: None }
    }

    /// The event id of an `event` or `job` input. `None` for other types or a malformed id.
    #[must_use]
    pub fn event_id(&self) -> Option<EventId> {
        match self.kind {
            InputKind::Event | InputKind::Job => EventId::from_hex(&self.data).ok(),
            InputKind::Text | InputKind::Url => None,
        }
    }

    pub(super) fn tag(&self) -> Tag {
        let mut tag = vec!["i".to_owned(), self.data.clone(), self.kind.as_str().to_owned()];
        if self.relay.is_some() || self.marker.is_some() {
            tag.push(self.relay.clone().unwrap_or_default());
        }
        tag.extend(self.marker.clone());
        tag
    }

    /// Reads an `i` tag. `None` if it has no data.
    pub(super) fn from_tag(tag: &[String]) -> Option<Self> {
        let (data, rest) = tag.get(1..)?.split_first()?;
        let word = |index: usize| rest.get(index).filter(|word| !word.is_empty());
        Some(Self {
            data: data.clone(),
            kind: InputKind::from_word(word(0).map(String::as_str)),
            relay: word(1).cloned(),
            marker: word(2).cloned(),
        })
    }
}

impl InputKind {
    /// The type's name in an `i` tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Url => "url",
            Self::Event => "event",
            Self::Job => "job",
        }
    }

    /// Clients leave the type out or invent their own (`prompt`, in kind 5050's own example): both are read as text.
    fn from_word(word: Option<&str>) -> Self {
        match word {
            Some("url") => Self::Url,
            Some("event") => Self::Event,
            Some("job") => Self::Job,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InputKind, JobInput};

    fn read(tag: &[&str]) -> Option<JobInput> {
        JobInput::from_tag(&tag.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn takes_a_missing_or_unknown_type_for_text() {
        for tag in [&["i", "Ada"] as &[_], &["i", "Ada", ""], &["i", "Ada", "prompt"], &["i", "Ada", "text"]]
        {
            assert_eq!(read(tag), Some(JobInput::new(InputKind::Text, "Ada")), "{tag:?}");
        }
        assert_eq!(read(&["i", "https://a.example", "url"]).unwrap().kind, InputKind::Url);
        assert_eq!(read(&["i", "", "text"]), Some(JobInput::new(InputKind::Text, "")));
        assert_eq!(read(&["i"]), None);
    }

    #[test]
    fn reads_a_marker_behind_an_empty_relay() {
        let input = read(&["i", "x", "job", "", "source"]).unwrap();
        assert_eq!((input.relay, input.marker.as_deref()), (None, Some("source")));
    }

    #[test]
    fn names_an_event_only_where_it_can() {
        let id = "ab".repeat(32);
        assert_eq!(JobInput::new(InputKind::Job, &id).event_id().unwrap().to_hex(), id);
        assert_eq!(JobInput::new(InputKind::Event, &id).event_id().unwrap().to_hex(), id);
        assert_eq!(JobInput::new(InputKind::Text, &id).event_id(), None);
        assert_eq!(JobInput::new(InputKind::Job, "my last job").event_id(), None);
    }
}
