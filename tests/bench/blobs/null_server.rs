//! A server that reads each upload and forgets it, and sends as many bytes to each download: the ceiling of a machine.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Serves until it is killed.
pub(super) fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let port = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => "0".to_owned(),
        (Some("--port"), Some(port)) => port,
        _ => return Err("usage: bench blobs null [--port PORT]".to_owned()),
    };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).map_err(|error| error.to_string())?;
    println!("ready http://{}", listener.local_addr().map_err(|error| error.to_string())?);
    let seen = Arc::new(Mutex::new((HashSet::new(), 0)));
    for stream in listener.incoming().flatten() {
        let seen = Arc::clone(&seen);
        std::thread::spawn(move || serve(stream, &seen));
    }
    Ok(())
}

/// The hashes that were uploaded, and the size of the last blob.
type Seen = Mutex<(HashSet<String>, usize)>;

fn serve(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let mut stream = stream;
    let chunk = vec![7; 256 * 1024];
    loop {
        let (mut method, mut hash, mut length) = (String::new(), String::new(), 0_usize);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("x-sha-256:") {
                hash = value.trim().to_owned();
            } else if method.is_empty() {
                method = line.split(' ').next().unwrap_or_default().to_owned();
            }
        }
        std::io::copy(&mut (&mut reader).take(length as u64), &mut std::io::sink())?;
        if method == "put" {
            let mut seen = seen.lock().expect("unpoisoned");
            seen.1 = length;
            let status = if seen.0.insert(hash) { "201 Created" } else { "200 OK" };
            drop(seen);
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}")?;
            continue;
        }
        let mut left = seen.lock().expect("unpoisoned").1;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n")?;
        while left > 0 && method != "head" {
            let sent = left.min(chunk.len());
            stream.write_all(&chunk[..sent])?;
            left -= sent;
        }
    }
}
