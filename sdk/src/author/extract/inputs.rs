//! `Inputs`: all inputs of a request.

use std::ops::Deref;

use openagents_host::EventId;

use super::{FromJob, text};
use crate::author::job::JobContext;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// All inputs of a request as they were sent, in order. It derefs to a slice.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # fn handler(inputs: Inputs) {
/// let question = inputs.with_marker("question").texts().next().unwrap_or("what is this?").to_owned();
/// let sources: Vec<&str> = inputs.urls().collect();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Inputs {
    inputs: Vec<JobInput>,
    context: JobContext,
}

impl Inputs {
    /// The texts, including the outputs of the jobs that `job` inputs name.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().filter_map(|input| text::of_input(&self.context, input))
    }

    /// The URLs, as the customer wrote them. They must be checked before use;
    /// [`HttpRequestBuilder::public_only`](crate::HttpRequestBuilder::public_only) does that.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().filter(|input| input.kind == InputKind::Url).map(|input| input.data.as_str())
    }

    /// The ids in `event` inputs. Malformed ids are left out.
    pub fn events(&self) -> impl Iterator<Item = EventId> {
        self.inputs.iter().filter(|input| input.kind == InputKind::Event).filter_map(JobInput::event_id)
    }

    /// The ids in `job` inputs. The outputs of these jobs are among the [`texts`](Self::texts).
    pub fn jobs(&self) -> impl Iterator<Item = EventId> {
        self.inputs.iter().filter(|input| input.kind == InputKind::Job).filter_map(JobInput::event_id)
    }

    /// The inputs with this marker. A marker says what an input is for (NIP-90).
    #[must_use]
    pub fn with_marker(&self, marker: &str) -> Self {
        let marked = self.inputs.iter().filter(|input| input.marker.as_deref() == Some(marker));
        Self { inputs: marked.cloned().collect(), context: self.context.clone() }
    }
}

impl Deref for Inputs {
    type Target = [JobInput];

    fn deref(&self) -> &[JobInput] {
        &self.inputs
    }
}

impl IntoIterator for Inputs {
    type Item = JobInput;
    type IntoIter = std::vec::IntoIter<JobInput>;

    fn into_iter(self) -> Self::IntoIter {
        self.inputs.into_iter()
    }
}

impl FromJob for Inputs {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(Self { inputs: context.request().inputs.clone(), context: context.clone() })
    }
}
