//! `bench growth`: the same measurements on a server with more and more stored jobs.

use std::time::Instant;

use openagents_tests::server::{Host, Server};

use crate::figures::Figures;
use crate::{flood, history, jobs};

/// Measures `probe` with each of these numbers of finished jobs stored; the numbers must grow.
pub(crate) async fn measure(host: Host, sizes: &[u64], count: usize) -> Result<Vec<Figures>, String> {
    let server = Server::start(host, "probe")?;
    let mut figures = Vec::new();
    let mut written = 0;
    // The first jobs after a start find cold caches; they also create the objects' databases in workerd.
    jobs::measure(&server.url(), 5900, 20).await;
    for size in sizes {
        let started = Instant::now();
        server.while_stopped(|folder| {
            for database in history::databases(folder) {
                history::fill(&database, size.saturating_sub(written))?;
            }
            Ok(())
        })?;
        written = *size;
        eprintln!("{size} jobs stored after {:.0?}", started.elapsed());
        jobs::measure(&server.url(), 5900, 20).await;
        let name = |figures: Figures| Figures { what: format!("{size} stored: {}", figures.what), ..figures };
        figures.push(name(jobs::measure(&server.url(), 5900, 200).await));
        for kind in [5900, 5911] {
            let (url, agent) = (server.url(), Some(server.agent()));
            figures.push(name(flood::measure(&url, agent, kind, count, server.pids()).await?));
        }
    }
    Ok(figures)
}
