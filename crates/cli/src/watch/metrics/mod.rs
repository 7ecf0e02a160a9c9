//! `--metrics`: numbers after each sweep, for those who scrape them or for a file.
//!
//! No sweep waits for a client: each page is made once, handed over, and served by a thread of its own.

mod file;
mod request;
mod serve;

use crate::args::Target;
use crate::exit::Usage;
use session::Watch;
use std::net::{SocketAddr, TcpListener};

/// Where the numbers go.
pub enum Metrics {
    Served(serve::Server),
    /// Bound, and not served before there is a page: who connects meanwhile waits.
    Bound(Option<TcpListener>),
    Written(file::PageFile),
}

impl Metrics {
    /// Takes the address, or looks at the file: nothing is written or served yet.
    pub fn open(target: &Target) -> anyhow::Result<Self> {
        match target {
            Target::File(path) => Ok(Self::Written(file::PageFile::new(path)?)),
            Target::Address(all) => {
                let listener = bind(all)?;
                Ok(Self::Bound(Some(listener)))
            }
        }
    }

    /// The page after a sweep.
    pub fn publish(&mut self, watch: &Watch) -> anyhow::Result<()> {
        let Some(metrics) = watch.metrics(env!("CARGO_PKG_VERSION")) else {
            return Ok(());
        };
        let page = view::metrics(&metrics);
        match self {
            Self::Served(server) => server.publish(page),
            Self::Written(file) => return file.write(page.as_bytes()),
            Self::Bound(listener) => {
                if let Some(listener) = listener.take() {
                    let address = listener.local_addr()?;
                    *self = Self::Served(serve::Server::start(listener, page)?);
                    eprintln!("lastref: metrics at http://{address}/metrics");
                }
            }
        }
        Ok(())
    }
}

/// The first of these that the host has: of all addresses, IPv6 with IPv4, else IPv4 alone.
fn bind(all: &[SocketAddr]) -> Result<TcpListener, Usage> {
    let mut failed = String::new();
    for address in all {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let text = format!(
                    "--metrics {address}: the port is in use; another watch may have it: \
                     choose another one"
                );
                return Err(Usage(text));
            }
            Err(error) => failed = format!("--metrics {address}: {error}"),
        }
    }
    Err(Usage(failed))
}
