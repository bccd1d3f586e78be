//! Something between a server and who asks it, which changes what is answered.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

pub(crate) struct Proxy {
    host: String,
}

impl Proxy {
    /// On a free port of this machine; the edit gets the path and the whole answer, head and body.
    pub(crate) fn start(upstream: &str, edit: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", upstream, edit)
    }

    pub(crate) fn start_at(
        at: &str,
        upstream: &str,
        edit: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let (upstream, edit) = (upstream.to_owned(), Arc::new(edit));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), upstream, edit) = (stream, upstream.clone(), Arc::clone(&edit)) else {
                    return;
                };
                std::thread::spawn(move || pass(stream, &upstream, edit.as_ref()));
            }
        });
        Self { host }
    }

    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }
}

/// One exchange; what does not come to its end was somebody's who went away.
fn pass(mut asker: TcpStream, upstream: &str, edit: &dyn Fn(&str, &mut Vec<u8>)) -> Option<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        asker.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
        // TLS is not spoken here, which is said as such servers say it.
        if request.len() == 3 && request[0] == 0x16 {
            return asker.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").ok();
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    asker.read_exact(&mut body).ok()?;
    let mut answer = Vec::new();
    let mut server = TcpStream::connect(upstream).ok()?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes()).and_then(|()| server.write_all(&body)).ok()?;
    server.read_to_end(&mut answer).ok()?;
    edit(&path, &mut answer);
    asker.write_all(&answer).ok()
}

/// Puts one text in the place of another, and says the new length.
pub(crate) fn replace(answer: &mut Vec<u8>, from: &str, to: &str) {
    let Ok(text) = String::from_utf8(answer.clone()) else { return };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
    let (head, body) = (head.replace(from, to), body.replace(from, to));
    let lines = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let head: Vec<_> = lines.collect();
    *answer = format!("{}\r\ncontent-length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()).into_bytes();
}
