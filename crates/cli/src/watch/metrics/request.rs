//! What a client asks for, and what it gets. Bytes in, bytes out.

use std::fmt::Write as _;

/// Bytes of a request at most. Prometheus sends some 400.
pub const LONGEST: usize = 8 << 10;
/// Header fields at most.
const FIELDS: usize = 64;

/// What is to be sent for a request that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The page.
    Page,
    /// Its head alone.
    Head,
    /// No page, for this reason.
    Refused(u16, &'static str),
}

/// Reads what has come so far; `None` if it is not whole yet. A body would not be read.
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Answer::Refused(431, "Request Header Fields Too Large"));
        }
        Err(_) => return Some(Answer::Refused(400, "Bad Request")),
    }
    let target = request.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    Some(match (request.method, path) {
        (Some("GET"), "/metrics") => Answer::Page,
        (Some("HEAD"), "/metrics") => Answer::Head,
        (Some("GET" | "HEAD"), _) => Answer::Refused(404, "Not Found"),
        _ => Answer::Refused(405, "Method Not Allowed"),
    })
}

impl Answer {
    /// The first part of what is sent; the page follows, if that is the answer.
    pub fn head(self, page: usize) -> String {
        let (status, reason) = match self {
            Self::Page | Self::Head => (200, "OK"),
            Self::Refused(status, reason) => (status, reason),
        };
        let mut head = format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\n");
        if let Self::Refused(..) = self {
            let text = format!("{status} {reason}: metrics are at /metrics\n");
            if status == 405 {
                head.push_str("Allow: GET, HEAD\r\n");
            }
            let _ = write!(
                head,
                "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        } else {
            let _ = write!(
                head,
                "Content-Type: {}\r\nContent-Length: {page}\r\n\r\n",
                view::METRICS_TYPE
            );
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &[u8]) -> Option<u16> {
        answer(bytes).map(|answer| match answer {
            Answer::Page | Answer::Head => 200,
            Answer::Refused(status, _) => status,
        })
    }

    #[test]
    fn requests_and_what_comes_of_them() {
        for (bytes, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[..], Some(200)),
            (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", Some(200)),
            (b"HEAD /metrics HTTP/1.1\r\n\r\n", Some(200)),
            (b"GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
            (b"", None),
            (b"GET", None),
            (b"GET / HTTP/1.1\r\n\r\n", Some(404)),
            (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", Some(404)),
            (
                b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
                Some(405),
            ),
            (b"\x16\x03\x01\x02\x00\x01\x00", Some(400)),
            (b"GET /metrics HTTP/9.9\r\n\r\n", Some(400)),
            (b"GET /\0metrics HTTP/1.1\r\n\r\n", Some(400)),
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(status(bytes), expected, "{text:?}");
        }
        let endless = [&b"GET /metrics HTTP/1.1\r\nA: "[..], &[b'a'; LONGEST]].concat();
        assert_eq!(status(&endless[..LONGEST - 1]), None);
        assert_eq!(status(&endless[..LONGEST]), Some(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
        assert_eq!(status(many.as_bytes()), Some(431));
    }

    #[test]
    fn every_answer_says_how_long_it_is() {
        for answer in [Answer::Page, Answer::Refused(405, "Method Not Allowed")] {
            let head = answer.head(7);
            let (fields, body) = head.split_once("\r\n\r\n").expect("an end of the head");
            let length = if answer == Answer::Page {
                7
            } else {
                body.len()
            };
            assert!(
                fields.contains(&format!("Content-Length: {length}")),
                "{head}"
            );
            assert!(fields.contains("Connection: close"), "{head}");
        }
    }
}
