//! The command line of `bench relay`.

/// The help text.
pub(crate) const USAGE: &str = "\
usage: bench relay --url ws://127.0.0.1:PORT [--name NAME] [--pid PID]… [--data PATH] [options]
       bench relay --suite [--peers NAME,NAME…] [--var NAME=VALUE]… [options]

Measures relays on this machine, with the same signed events in every run.

  --url URL            a running relay with an empty database
  --pid PID            its process, to measure processor time and memory; may be repeated
  --data PATH          its database, to measure its size
  --suite              starts hello-world and the other relays one after another, each with an empty database:
                         cargo build --release -p hello-world -p openagents-tests
                         cargo build --release --manifest-path tests/peers/Cargo.toml
  --peers NAMES        the other relays: builder-lmdb and builder-memory; \"none\" for ours alone
  --var NAME=VALUE     a variable for hello-world

  --only PARTS         some of connections,ingest,requests,fanout (default: all)
  --events NUMBER      the number of events of the 8×16 measurement (default: 40000)
  --connections NUMBER the number of idle connections (default: 2000)
  --seconds NUMBER     how long each kind of query is measured (default: 1.5)
  --sizes NUMBERS      instead of the above: fill the database to these sizes, e.g. 12000,100000,1000000, and
                       measure queries and single events at each size
  --seed NUMBER        other events, for a relay that already has the default ones (default: 1)
  --json               adds one line of JSON

  --echo-url URL       a server that only echoes: prints the upper bound that follows from it
  --verify-micros N    microseconds to verify an event, for that bound (default: libsecp256k1 here)";

/// The parts of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Connections,
    Ingest,
    Requests,
    Fanout,
}

impl Part {
    const ALL: [(&'static str, Self); 4] = [
        ("connections", Self::Connections),
        ("ingest", Self::Ingest),
        ("requests", Self::Requests),
        ("fanout", Self::Fanout),
    ];
}

/// The parsed options.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: Option<String>,
    pub(crate) name: String,
    pub(crate) pids: Vec<u32>,
    pub(crate) data: Option<std::path::PathBuf>,
    pub(crate) suite: bool,
    pub(crate) peers: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) parts: Vec<Part>,
    pub(crate) events: u64,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    pub(crate) sizes: Vec<u64>,
    pub(crate) seed: u64,
    pub(crate) json: bool,
    pub(crate) echo_url: Option<String>,
    pub(crate) verify_micros: Option<f64>,
}

impl Options {
    /// Parses the command line; `None` if it asks for help.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            url: None,
            name: "relay".to_owned(),
            pids: Vec::new(),
            data: None,
            suite: false,
            peers: super::suite::PEERS.map(str::to_owned).to_vec(),
            variables: Vec::new(),
            parts: Part::ALL.map(|(_, part)| part).to_vec(),
            events: 40_000,
            connections: 2_000,
            seconds: 1.5,
            sizes: Vec::new(),
            seed: 1,
            json: false,
            echo_url: None,
            verify_micros: None,
        };
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => options.json = true,
                "--suite" => options.suite = true,
                _ => {
                    let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
                    options.set(&name, value)?;
                }
            }
        }
        if options.suite == options.url.is_some() {
            return Err("give either --url or --suite".to_owned());
        }
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "--url" => self.url = Some(value),
            "--name" => self.name = value,
            "--pid" => self.pids.push(number(name, &value)?),
            "--data" => self.data = Some(value.into()),
            "--peers" if value == "none" => self.peers.clear(),
            "--peers" => self.peers = value.split(',').map(str::to_owned).collect(),
            "--var" => {
                let (key, value) = value.split_once('=').ok_or("--var needs NAME=VALUE")?;
                self.variables.push((key.to_owned(), value.to_owned()));
            }
            "--only" => {
                let part = |text: &str| {
                    let found = Part::ALL.into_iter().find(|(name, _)| *name == text);
                    found.map(|(_, part)| part).ok_or_else(|| format!("--only {text}: unknown part"))
                };
                self.parts = value.split(',').map(part).collect::<Result<_, _>>()?;
            }
            "--events" => self.events = number::<u64>(name, &value)?.clamp(1_000, 10_000_000),
            "--connections" => self.connections = number::<usize>(name, &value)?.clamp(1, 50_000),
            "--seconds" => self.seconds = number::<f64>(name, &value)?.clamp(0.05, 600.0),
            "--sizes" => {
                self.sizes = value.split(',').map(|size| number(name, size)).collect::<Result<_, _>>()?;
                if !self.sizes.is_sorted() || self.sizes.first().is_some_and(|size| *size < 12_000) {
                    return Err(format!("--sizes {value}: sizes must grow, starting at 12000 or more"));
                }
            }
            "--seed" => self.seed = number(name, &value)?,
            "--echo-url" => self.echo_url = Some(value),
            "--verify-micros" => self.verify_micros = Some(number(name, &value)?),
            _ => return Err(format!("unknown option {name}")),
        }
        Ok(())
    }
}

fn number<N: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|error| format!("{name} {text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Options, Part};

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_mistake_is_told() {
        let cases = [
            ("", "either --url or --suite"),
            ("--suite --url ws://127.0.0.1:1", "either --url or --suite"),
            ("--suite --sizes 100000,12000", "must grow"),
            ("--suite --only jokes", "unknown part"),
            ("--suite --events many", "--events many"),
            ("--suite --seed", "needs a value"),
        ];
        for (line, error) in cases {
            assert!(parse(line).is_err_and(|told| told.contains(error)), "{line}");
        }
    }

    #[test]
    fn parts_are_chosen() {
        let options = parse("--suite --only ingest,fanout --peers none").unwrap().unwrap();
        assert_eq!((options.parts, options.peers.len()), (vec![Part::Ingest, Part::Fanout], 0));
    }
}
