//! TCP connections of a native server: what one address or a lack of file descriptors can do to others.

use std::net::SocketAddr;
use std::time::Duration;

use openagents_tests::events::{fresh_author, note};
use openagents_tests::http::request;
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        one_address_cannot_keep_others_out,
        the_last_file_descriptors_are_kept,
    }
}

/// How many connections an address may have that are no WebSockets.
const MAX_HTTP_CONNECTIONS_PER_ADDRESS: usize = 64;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many connections are tried.
const TRIED: usize = 300;

/// The limit of open files of a server that runs out of them.
const FEW_OPEN_FILES: u64 = 128;

async fn connect_from(address: &str, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::new(address.parse().expect("an address"), 0))
        .expect("an address of this machine");
    socket.connect(server.address().parse().expect("an address")).await.expect("it listens")
}

/// The status line of the answer to a request on a connection, which stays open if it is served.
async fn status(stream: &mut TcpStream) -> String {
    let head = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut line = vec![0; 12];
    let answered = async {
        stream.write_all(head).await?;
        stream.read_exact(&mut line).await
    };
    timeout(PATIENCE, answered).await.expect("an answer in time").expect("an answer");
    String::from_utf8(line).expect("text")
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pids()[0])).expect("its descriptors").count()
}

/// Others are served by HTTP and WebSocket.
async fn expect_served(server: &Server) {
    let health = request(server.address(), "GET", "/health", &[]).await.expect("an answer");
    assert_eq!(health.status, 200);
    Client::connect(&server.url()).await.publish_accepted(&note(&fresh_author(), "served")).await;
}

async fn one_address_cannot_keep_others_out(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("RELAY_LIMIT_LOOPBACK", "true".to_owned())]);
    let before = open_files(&server);
    let mut held = Vec::new();
    for _ in 0..MAX_HTTP_CONNECTIONS_PER_ADDRESS {
        held.push(connect_from("127.0.0.2", &server).await);
    }
    assert_eq!(status(&mut connect_from("127.0.0.2", &server).await).await, "HTTP/1.1 429");
    // Requests whose answers nobody reads.
    let requests = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(700);
    while held.len() < TRIED {
        held.push(connect_from("127.0.0.2", &server).await);
    }
    for stream in &mut held {
        // Those that were refused are closed.
        let _ =
            timeout(PATIENCE, stream.write_all(requests.as_bytes())).await.expect("it is taken or refused");
    }
    expect_served(&server).await;
    let taken = open_files(&server) - before;
    // Besides, a few are being told that they are refused.
    assert!(taken <= MAX_HTTP_CONNECTIONS_PER_ADDRESS + 20, "{taken} connections are open");
}

async fn the_last_file_descriptors_are_kept(servers: &Servers) {
    let server = servers.own("hello-world");
    let pid = Pid::from_raw(i32::try_from(server.pids()[0]).expect("a process id"));
    let limit = Rlimit { current: Some(FEW_OPEN_FILES), ..getrlimit(Resource::Nofile) };
    prlimit(pid, Resource::Nofile, limit).expect("it is a process of this user");
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = connect_from("127.0.0.1", &server).await;
        let status = status(&mut stream).await;
        if status != "HTTP/1.1 200" {
            break status;
        }
        held.push(stream);
        assert!(held.len() < TRIED, "never refused");
    };
    assert_eq!(refused, "HTTP/1.1 503");
    let open = open_files(&server);
    assert!((64..=100).contains(&open), "{open} of {FEW_OPEN_FILES} descriptors");
    drop(held);
    // The server takes a moment to notice.
    while status(&mut connect_from("127.0.0.1", &server).await).await == "HTTP/1.1 503" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    expect_served(&server).await;
}
