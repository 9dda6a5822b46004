//! Server-sent events: the stream format `text/event-stream` of the WHATWG HTML standard.

use bytes::{Buf, Bytes};

/// An event of a stream of server-sent events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSentEvent {
    /// The type of the event; `message` if the server gives none.
    pub event: String,
    /// The data. Several lines are separated by `\n`.
    pub data: String,
    /// The last id that the server has sent, with this event or an earlier one; empty if it has sent none.
    pub id: String,
}

/// Turns bytes into events, however the bytes are split. What it keeps is as long as what it was given.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    /// The beginning of the current line.
    line: Vec<u8>,
    /// The last line ended with CR: if LF follows, it belongs to it.
    after_cr: bool,
    /// Whether a line was read. The first may begin with a byte order mark.
    began: bool,
    event: String,
    data: String,
    id: String,
}

impl EventParser {
    /// Reads up to the end of the next event, and removes from `bytes` what was read. `None` if they end before: then
    /// nothing of them is left.
    ///
    /// Events are made one by one, since each has a copy of the last id, which may be long.
    pub(super) fn read(&mut self, bytes: &mut Bytes) -> Option<ServerSentEvent> {
        loop {
            if self.after_cr && !bytes.is_empty() {
                self.after_cr = false;
                if bytes.first() == Some(&b'\n') {
                    bytes.advance(1);
                }
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.line.extend_from_slice(&bytes.split_off(0));
                return None;
            };
            self.line.extend_from_slice(&bytes.split_to(end));
            self.after_cr = bytes.first() == Some(&b'\r');
            bytes.advance(1);
            let line = std::mem::take(&mut self.line);
            if let Some(event) = self.line(&line) {
                return Some(event);
            }
        }
    }

    /// Interprets a line without its ending. An empty one ends an event.
    fn line(&mut self, line: &[u8]) -> Option<ServerSentEvent> {
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.began => rest,
            _ => line,
        };
        self.began = true;
        if line.is_empty() {
            return self.dispatch();
        }
        // Line endings are ASCII, so no character is split between lines.
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // Comments, which begin with the colon; `retry`, which is for clients that reconnect; what is unknown.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<ServerSentEvent> {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // Without a line of data, not even an empty one, there is no event.
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(ServerSentEvent { event, data, id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests;
