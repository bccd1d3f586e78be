//! One question to a server, and in which of the ways that people meet it was not answered.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::Client;
use serde_json::Value;

use super::Said;

/// What a server answered, or why it did not.
pub(super) struct Probe {
    /// What was asked for.
    pub(super) url: String,
    /// What came of it.
    pub(super) result: Result<Answer, Unreached>,
}

/// An answer of any status.
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the server's clock said, and ours at the same time.
    pub(super) clocks: Option<(Timestamp, Timestamp)>,
    /// Where it sends on to, as a whole URL.
    location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unreached {
    /// Not a URL that can be asked.
    Url(String),
    /// Nobody knows the name of the host.
    Name(String),
    /// Nobody listens there.
    Refused,
    /// It is not believed to be who it says, or speaks no TLS.
    Tls(String),
    /// Something else than HTTP is spoken there, as when TLS is asked for in plain HTTP.
    NotHttp(String),
    /// No answer within the time.
    Silent,
    /// Anything else.
    Broken(String),
}

/// Asks; follows no redirects.
pub(super) async fn get(client: &Client, url: &str) -> Probe {
    Probe { url: url.to_owned(), result: ask(client, url).await }
}

/// Who asks.
pub(super) fn client() -> Result<Client, String> {
    bulla_web::client()
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        // A connection of its own for each: what was open before says nothing of whether it can be opened.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| error.to_string())
}

async fn ask(client: &Client, url: &str) -> Result<Answer, Unreached> {
    let parsed = reqwest::Url::parse(url).map_err(|error| Unreached::Url(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Unreached::Url(format!(
            "scheme is {:?}, one of http or https was expected",
            parsed.scheme()
        )));
    }
    let asked = Timestamp::now();
    let mut response = client.get(parsed).send().await.map_err(|error| Unreached::of(&error))?;
    let here = between(asked, Timestamp::now());
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let age = header("age").and_then(|age| age.parse().ok()).unwrap_or(0);
    // What a cache kept is as old as it says.
    let date = header("date").and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let clocks =
        date.and_then(|date| Some((date.checked_add(jiff::SignedDuration::from_secs(age)).ok()?, here)));
    let location = header("location").and_then(|to| Some(response.url().join(&to).ok()?.to_string()));
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| Unreached::of(&error))? {
        if body.len() + part.len() > LARGEST {
            return Err(Unreached::Broken(format!("its answer has more than {LARGEST} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { status, clocks, location, body })
}

/// The middle of an exchange, which is when its answer was made, as well as one can know.
pub(super) fn between(before: Timestamp, after: Timestamp) -> Timestamp {
    before.checked_add(after.duration_since(before) / 2).unwrap_or(after)
}

impl Probe {
    /// The answer, if it is one to go on with.
    pub(super) fn body(&self) -> Option<&[u8]> {
        self.result.as_ref().ok().filter(|answer| answer.status == 200).map(|answer| answer.body.as_slice())
    }

    /// The same as text.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.body()?).ok()
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body()?).ok()
    }

    /// Whether a server can be used at all: `what` is asked here.
    pub(super) fn judged(&self, what: &str, expected: &[u16]) -> Said {
        let url = &self.url;
        match &self.result {
            Ok(answer) if expected.contains(&answer.status) => Said::well(format!("{what} answers at {url}")),
            Ok(Answer { status, .. }) if passing(*status) => {
                let seen = format!("{what}: {url} answers {status}");
                Said::unknown(seen, "look at what the server logs, and ask again")
            }
            Ok(Answer { status: status @ 300..400, location: Some(to), .. }) => {
                let fix =
                    format!("use that URL: name the {what} by the base of {to}, as clients need not follow");
                Said::problem(sent_on(what, url, *status, to), fix)
            }
            Ok(Answer { status, .. }) => {
                let seen = format!(
                    "{what}: {url} answers {status}: another server listens there, or another path is served"
                );
                Said::problem(
                    seen,
                    format!(
                        "name the base URL of the {what}, without a path such as /api, and the right port"
                    ),
                )
            }
            Err(unreached) => unreached.judged(what, url),
        }
    }
}

/// Whether another answer may come another time.
pub(super) fn passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// What was seen of who asks elsewhere.
pub(super) fn sent_on(what: &str, url: &str, status: u16, to: &str) -> String {
    format!("{what}: {url} answers {status}, and sends on to {to}")
}

impl Unreached {
    fn of(error: &reqwest::Error) -> Self {
        // Its own text is that of the request, and named already; the causes say what happened.
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let io = cause.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
                return Self::Refused;
            }
            causes.push(cause.to_string());
            source = cause.source();
        }
        let text = causes.join(": ");
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match () {
            () if error.is_timeout() => Self::Silent,
            () if says(&["dns error"]) => Self::Name(text),
            () if error.is_connect()
                && says(&["InvalidContentType", "certificate", "received fatal alert"]) =>
            {
                Self::Tls(text)
            }
            () if says(&["invalid HTTP", "connection closed before message completed"]) => {
                Self::NotHttp(text)
            }
            () => Self::Broken(text),
        }
    }

    fn judged(&self, what: &str, url: &str) -> Said {
        let at = format!("{what} at {url}");
        let host = reqwest::Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default();
        let port =
            reqwest::Url::parse(url).ok().and_then(|url| url.port_or_known_default()).unwrap_or_default();
        match self {
            Self::Url(problem) => {
                Said::problem(format!("{at}: {problem}"), "name it as https://HOST or https://HOST:PORT")
            }
            Self::Name(_) => Said::problem(
                format!("{at}: the name {host} leads nowhere"),
                format!("getent hosts {host} # mend the name in the URL, in DNS or in /etc/hosts"),
            ),
            Self::Refused => Said::problem(
                format!("{at}: nobody listens on port {port} of {host}"),
                format!("start it there, or name the port that it listens on: ss -ltn on {host} lists them"),
            ),
            Self::Tls(problem) if problem.contains("InvalidContentType") => {
                let plain = url.replacen("https://", "http://", 1);
                Said::problem(
                    format!("{at}: it speaks no TLS"),
                    format!("name it as {plain}, or put TLS in front of it"),
                )
            }
            Self::Tls(problem) => Said::problem(
                format!("{at}: {problem}"),
                "add the certificate authority to those that the system believes (Debian: /usr/local/share/ca-certificates, \
                 then update-ca-certificates), or give the server a certificate for this name that has not ended",
            ),
            Self::NotHttp(_) if url.starts_with("http://") => {
                let secure = url.replacen("http://", "https://", 1);
                Said::problem(
                    format!("{at}: something else than HTTP is spoken there"),
                    format!("name it as {secure}, or name another port"),
                )
            }
            Self::NotHttp(problem) | Self::Broken(problem) => {
                Said::unknown(format!("{at}: {problem}"), "look at what the server logs, and ask again")
            }
            Self::Silent => Said::unknown(
                format!("{at}: no answer within {} s", PATIENCE.as_secs()),
                format!("let packets to port {port} of {host} through the firewall, and ask again"),
            ),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Larger than a trusted root may be.
const LARGEST: usize = 5 << 20;

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn what_may_pass_is_not_known() {
        let answered = |status, location: Option<&str>| {
            let answer = Answer { status, clocks: None, location: location.map(str::to_owned), body: vec![] };
            Probe { url: "http://a/x".to_owned(), result: Ok(answer) }.judged("log", &[200])
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(answered(status, None).standing, Standing::Unknown, "{status}");
        }
        for status in [400, 401, 404, 301] {
            assert_eq!(answered(status, None).standing, Standing::Problem, "{status}");
        }
        for unreached in [Unreached::Silent, Unreached::Broken("reset".to_owned())] {
            assert_eq!(unreached.judged("log", "http://a/x").standing, Standing::Unknown, "{unreached:?}");
        }
        for status in [301, 302, 307, 308] {
            let said = answered(status, Some("https://b/x"));
            assert_eq!(said.seen, format!("log: http://a/x answers {status}, and sends on to https://b/x"));
            let fix = "use that URL: name the log by the base of https://b/x, as clients need not follow";
            assert_eq!((said.standing, said.fix.as_deref()), (Standing::Problem, Some(fix)));
        }
    }
}
