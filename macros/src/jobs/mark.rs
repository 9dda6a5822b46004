//! The attributes that `#[jobs]` removes from the methods of its block.

use std::mem;

use syn::{Attribute, ImplItem};

/// The role of a method in a `#[jobs]` block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Job,
    Price,
    Schedule,
    Route,
    Event,
    DirectMessage,
    Hook(LifecycleHook),
    Migrate,
}

/// A lifecycle hook.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LifecycleHook {
    Create,
    Wake,
    Sleep,
    Error,
}

impl LifecycleHook {
    pub(super) const ALL: [Self; 4] = [Self::Create, Self::Wake, Self::Sleep, Self::Error];

    /// The name of the attribute, and of the field in `Hooks`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "on_create",
            Self::Wake => "on_wake",
            Self::Sleep => "on_sleep",
            Self::Error => "on_error",
        }
    }
}

impl Mark {
    /// The attribute's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Price => "price",
            Self::Schedule => "schedule",
            Self::Route => "route",
            Self::Event => "event",
            Self::DirectMessage => "direct_message",
            Self::Hook(kind) => kind.name(),
            Self::Migrate => "migrate",
        }
    }

    /// A method that can have this attribute.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Job => "async fn hello(&mut self, name: Text) -> JobResult<String>",
            Self::Price => "fn quote(&self, request: &JobRequest) -> Price",
            Self::Schedule => "async fn refresh(&mut self, context: &AgentContext) -> JobResult<()>",
            Self::Route => "async fn hook(&self, body: Text) -> JobResult<String>",
            Self::Event => {
                "async fn mentioned(&self, event: NostrEvent, context: AgentContext) -> JobResult<()>"
            }
            Self::DirectMessage => "async fn answer(&self, message: DirectMessage) -> JobResult<String>",
            Self::Hook(_) => "async fn prepare(&mut self, context: &AgentContext) -> JobResult<()>",
            Self::Migrate => {
                "fn migrate(version: u32, state: serde_json::Value) -> JobResult<serde_json::Value>"
            }
        }
    }

    fn of(attribute: &Attribute) -> Option<Self> {
        let marks = [
            Self::Job,
            Self::Price,
            Self::Schedule,
            Self::Route,
            Self::Event,
            Self::DirectMessage,
            Self::Migrate,
        ];
        let mut marks = marks.into_iter().chain(LifecycleHook::ALL.into_iter().map(Self::Hook));
        let name = &attribute.path().segments.last()?.ident;
        marks.find(|mark| name == mark.name())
    }
}

/// Removes the marks from a member of the block.
pub(super) fn take_marks(member: &mut ImplItem) -> Vec<(Mark, Attribute)> {
    let attributes = match member {
        ImplItem::Const(item) => &mut item.attrs,
        ImplItem::Fn(item) => &mut item.attrs,
        ImplItem::Type(item) => &mut item.attrs,
        ImplItem::Macro(item) => &mut item.attrs,
        _ => return Vec::new(),
    };
    let mut marks = Vec::new();
    for attribute in mem::take(attributes) {
        match Mark::of(&attribute) {
            Some(mark) => marks.push((mark, attribute)),
            None => attributes.push(attribute),
        }
    }
    marks
}
