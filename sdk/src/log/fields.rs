//! The fields of a log line or of a span around it.

use std::fmt::Debug;
#[cfg(any(target_arch = "wasm32", test))]
use std::fmt::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// The name of the field that holds a line's text.
#[cfg(any(target_arch = "wasm32", test))]
const MESSAGE: &str = "message";

/// Fields by name, in the order in which they were recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(&'static str, Value)>);

impl Fields {
    /// The text of the line, and its fields as `name=value`.
    #[cfg(any(target_arch = "wasm32", test))]
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some((_, message)) = self.0.iter().find(|(name, _)| *name == MESSAGE) {
            text.push_str(message.as_str().unwrap_or_default());
        }
        for (name, value) in self.0.iter().filter(|(name, _)| *name != MESSAGE) {
            let space = if text.is_empty() { "" } else { " " };
            let _ = match value {
                Value::String(value) => write!(text, "{space}{name}={value}"),
                value => write!(text, "{space}{name}={value}"),
            };
        }
        text
    }

    /// Adds the fields to a JSON object. Later ones replace earlier ones of the same name.
    pub(super) fn add_to(&self, object: &mut Map<String, Value>) {
        for (name, value) in &self.0 {
            object.insert((*name).to_owned(), value.clone());
        }
    }

    fn add(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}").into());
    }
}
