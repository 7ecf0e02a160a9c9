//! Serves the page over HTTP, to few clients at a time.
//!
//! Written by hand, because the small servers that one could take start a thread for each connection and
//! let it wait for ever. Here one thread has all of them, and whatever clients do is bounded:
//!
//! | what | at most |
//! |---|---|
//! | connections | [`CLIENTS`]; a further one takes the place of the one that has been there longest, first of those that have not said what they want |
//! | time of one | [`PATIENCE`], then [`FAREWELL`] until it has read what was sent |
//! | memory of one | [`LONGEST`] bytes of a request; the page is shared |
//! | processor time | a round serves all that is ready, and rounds are [`PAUSE`] apart |

use super::request::{self, Answer, LONGEST};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);
/// After an error that concerns no client alone, such as no descriptor left.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The thread, and the page that it serves.
pub struct Server {
    page: Arc<Mutex<Arc<str>>>,
    /// Its other end becomes readable when this one is dropped: the thread ends.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(listener: TcpListener, page: String) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (end, ended) = UnixStream::pair()?;
        let page: Arc<Mutex<Arc<str>>> = Arc::new(Mutex::new(page.into()));
        let mut round = Round {
            listener,
            ended,
            page: page.clone(),
            clients: Vec::with_capacity(CLIENTS),
            deaf_until: None,
        };
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || while round.run() {})?;
        Ok(Self {
            page,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// From now on this one. Clients that are being answered have theirs.
    pub fn publish(&self, page: String) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page.into();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Round {
    listener: TcpListener,
    ended: UnixStream,
    page: Arc<Mutex<Arc<str>>>,
    /// The one that has been there longest first.
    clients: Vec<Client>,
    /// Nobody is accepted before.
    deaf_until: Option<Instant>,
}

impl Round {
    /// Waits, and does what can be done without waiting. False if that was the last one.
    fn run(&mut self) -> bool {
        let now = Instant::now();
        self.deaf_until = self.deaf_until.filter(|until| *until > now);
        let deadlines = self.clients.iter().map(|client| client.deadline);
        let wait = deadlines
            .chain(self.deaf_until)
            .min()
            .map(|at| at.saturating_duration_since(now));
        // One that cannot be said in the kernel's words is as good as none.
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
        let listens = self.deaf_until.is_none();
        if listens {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let first = fds.len();
        let clients = self.clients.iter();
        fds.extend(clients.map(|client| PollFd::new(&client.stream, client.waits_for())));
        match poll(&mut fds, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => return true,
            // Memory is short: nothing to do but to wait.
            Err(_) => std::thread::sleep(AFTER_ERROR),
            Ok(_) => {}
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            return false;
        }
        let (now, mut at) = (Instant::now(), first);
        let page = &self.page;
        self.clients.retain_mut(|client| {
            let is_ready = ready[at];
            at += 1;
            let stays = !is_ready || client.go_on(page, now);
            stays && client.deadline > now
        });
        if listens && ready[1] {
            self.accept(now);
        }
        std::thread::sleep(PAUSE);
        true
    }

    /// One connection: those that come faster wait in the kernel.
    fn accept(&mut self, now: Instant) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                let passing = [
                    ErrorKind::WouldBlock,
                    ErrorKind::Interrupted,
                    ErrorKind::ConnectionAborted,
                ];
                if !passing.contains(&error.kind()) {
                    self.deaf_until = Some(now + AFTER_ERROR);
                }
                return;
            }
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() >= CLIENTS {
            let silent = |client: &Client| matches!(client.state, State::Asks(_));
            let at = self.clients.iter().position(silent).unwrap_or(0);
            self.clients.remove(at);
        }
        self.clients.push(Client {
            stream,
            deadline: now + PATIENCE,
            state: State::Asks(Vec::new()),
        });
    }
}

struct Client {
    stream: TcpStream,
    deadline: Instant,
    state: State,
}

enum State {
    /// What it has said so far.
    Asks(Vec<u8>),
    /// Head, page, and how much of both is sent.
    Reads(String, Arc<str>, usize),
    /// All is sent. Closed now, the connection would be reset if it had said more than was read, and it
    /// might lose what it was sent.
    Ends(usize),
}

impl Client {
    fn waits_for(&self) -> PollFlags {
        match self.state {
            State::Asks(_) | State::Ends(_) => PollFlags::IN,
            State::Reads(..) => PollFlags::OUT,
        }
    }

    /// Does what can be done at once; false if there is nothing more to do.
    fn go_on(&mut self, page: &Mutex<Arc<str>>, now: Instant) -> bool {
        match self.step(page, now) {
            Ok(stays) => stays,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn step(&mut self, page: &Mutex<Arc<str>>, now: Instant) -> io::Result<bool> {
        let mut bytes = [0; 2048];
        if let State::Asks(said) = &mut self.state {
            let room = bytes.len().min(LONGEST - said.len());
            let read = self.stream.read(&mut bytes[..room])?;
            if read == 0 {
                return Ok(false);
            }
            said.extend_from_slice(&bytes[..read]);
            let Some(answer) = request::answer(said) else {
                return Ok(true);
            };
            let page = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let head = answer.head(page.len());
            let page = if answer == Answer::Page {
                page
            } else {
                "".into()
            };
            self.state = State::Reads(head, page, 0);
        }
        if let State::Reads(head, page, sent) = &mut self.state {
            let (head, page) = (head.as_bytes(), page.as_bytes());
            while *sent < head.len() + page.len() {
                let rest = match head.get(*sent..) {
                    Some(rest @ [_, ..]) => rest,
                    _ => &page[*sent - head.len()..],
                };
                let written = self.stream.write(rest)?;
                if written == 0 {
                    return Ok(false);
                }
                *sent += written;
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.state = State::Ends(0);
            self.deadline = now + FAREWELL;
            return Ok(true);
        }
        if let State::Ends(more) = &mut self.state {
            let read = self.stream.read(&mut bytes)?;
            *more += read;
            return Ok(read > 0 && *more <= LONGEST);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn server(page: &str) -> (Server, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = Server::start(listener, page.to_owned()).expect("a thread");
        (server, address)
    }

    fn client(address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).expect("it listens");
        let timeout = Some(Duration::from_secs(30));
        client.set_read_timeout(timeout).expect("a timeout");
        client
    }

    fn get(address: SocketAddr) -> String {
        let mut client = client(address);
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it reads");
        let mut text = String::new();
        client.read_to_string(&mut text).expect("it answers");
        text
    }

    #[test]
    fn the_newest_page_is_served_whole() {
        let long = "x".repeat(3 << 20);
        let (server, address) = server("first\n");
        assert!(get(address).ends_with("\r\n\r\nfirst\n"));
        server.publish(long.clone());
        let text = get(address);
        assert!(text.ends_with(&long) && text.contains("Content-Length: 3145728\r\n"));
    }

    #[test]
    fn silent_clients_do_not_keep_others_from_it() {
        let (_server, address) = server("page\n");
        let mut silent: Vec<TcpStream> = (0..CLIENTS * 3).map(|_| client(address)).collect();
        for client in &mut silent {
            // The first ones have been closed by then.
            let _ = client.write_all(b"GET /met");
        }
        assert!(get(address).ends_with("page\n"));
        // Those that ask for a long page and do not read it, neither.
        let _deaf: Vec<TcpStream> = (0..CLIENTS * 3)
            .map(|_| {
                let mut client = client(address);
                let _ = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
                client
            })
            .collect();
        assert!(get(address).ends_with("page\n"));
    }

    #[test]
    fn what_is_no_request_gets_an_answer_and_an_end() {
        let (_server, address) = server("page\n");
        for (sent, status) in [
            (&b"\x16\x03\x01 hello\r\n\r\n"[..], "400"),
            (&[b'a'; 10_000], "431"),
        ] {
            let mut client = client(address);
            let _ = client.write_all(sent);
            let mut text = Vec::new();
            // What was sent beyond what it takes may have reset the connection.
            let _ = client.read_to_end(&mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(
                text.is_empty() || text.starts_with(&format!("HTTP/1.1 {status} ")),
                "{text}"
            );
        }
        assert!(get(address).ends_with("page\n"));
    }

    #[test]
    fn it_ends_at_once_whoever_is_connected() {
        let (server, address) = server(&"x".repeat(8 << 20));
        let mut deaf = client(address);
        deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")
            .expect("it reads");
        let _silent = client(address);
        let begun = Instant::now();
        drop(server);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(TcpStream::connect(address).is_err());
    }
}
