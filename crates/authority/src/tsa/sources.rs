//! What time others say it is: NTP servers (RFC 5905 §14, the simple client) and the `Date` of web servers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;
use tokio::net::UdpSocket;

/// How far the local clock is behind others' (negative: ahead of it).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Offset(i128);

impl Offset {
    /// In nanoseconds.
    pub fn from_nanos(nanos: i128) -> Self {
        Self(nanos)
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Somebody who knows what time it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TimeSource {
    /// `HOST:PORT` of an NTP server.
    Ntp(String),
    /// A URL that is asked with HEAD. Known to a second.
    Http(reqwest::Url),
}

impl FromStr for TimeSource {
    type Err = SourceError;

    /// A URL of http or https, or the name of an NTP server with a port or without, after `ntp://` or bare.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError(text.to_owned());
        if text.starts_with("http://") || text.starts_with("https://") {
            return reqwest::Url::parse(text).map(Self::Http).map_err(|_| wrong());
        }
        let text = text.strip_prefix("ntp://").unwrap_or(text);
        let port = text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ', '@']);
        match port {
            Some((host, Ok(_))) if is_host(host) => Ok(Self::Ntp(text.to_owned())),
            None if is_host(text) => Ok(Self::Ntp(format!("{text}:123"))),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ntp(server) => f.write_str(server),
            Self::Http(url) => write!(f, "{url}"),
        }
    }
}

/// Neither form of a source.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("time source is {0:?}, HOST:PORT of an NTP server or a URL was expected")]
pub struct SourceError(String);

/// Why a check did not confirm the clock.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unchecked {
    /// The clock is off by more than it may.
    #[error("the clock is off by {seconds:.3} s, at most {bound} s were expected", seconds = offset.seconds(), bound = bound.as_secs_f64())]
    Off {
        /// The median of what the sources say.
        offset: Offset,
        /// What was allowed.
        bound: Duration,
    },
    /// Fewer than half of the sources answered.
    #[error("{answered} of {asked} time sources answered, half were expected; the last that did not: {last}")]
    Silent {
        /// How many did.
        answered: usize,
        /// How many there are.
        asked: usize,
        /// What one said instead.
        last: String,
    },
}

/// Others who are asked for the time, and how far from them the local clock may be.
pub struct TimeSources {
    sources: Vec<TimeSource>,
    bound: Duration,
    web: reqwest::Client,
}

impl TimeSources {
    /// All are asked at once, and each has five seconds. Web servers know the time to a second, so a bound below that needs
    /// NTP servers.
    pub fn new(sources: Vec<TimeSource>, bound: Duration) -> Result<Self, reqwest::Error> {
        let web = bulla_web::client().build()?;
        Ok(Self { sources, bound, web })
    }

    /// Asks all of them, and takes the median of the answers.
    pub async fn check(&self) -> Result<Offset, Unchecked> {
        let asked = self.sources.iter().cloned().map(|source| {
            let web = self.web.clone();
            tokio::spawn(async move {
                let asking = async {
                    match &source {
                        TimeSource::Ntp(server) => ntp(server).await,
                        TimeSource::Http(url) => date(&web, url.clone()).await,
                    }
                };
                let answer = tokio::time::timeout(TIMEOUT, asking).await;
                let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {} s", TIMEOUT.as_secs())));
                answer.map_err(|problem| format!("{source}: {problem}"))
            })
        });
        let (mut offsets, mut last) = (Vec::new(), String::new());
        for answer in asked.collect::<Vec<_>>() {
            match answer.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(offset) => offsets.push(offset),
                Err(problem) => last = problem,
            }
        }
        judge(offsets, self.sources.len(), last, self.bound)
    }
}

fn judge(mut offsets: Vec<Offset>, asked: usize, last: String, bound: Duration) -> Result<Offset, Unchecked> {
    let answered = offsets.len();
    offsets.sort_unstable();
    let Some(&upper) = offsets.get(answered / 2).filter(|_| answered * 2 >= asked) else {
        return Err(Unchecked::Silent { answered, asked, last });
    };
    let lower = offsets[(answered - 1) / 2];
    let offset = Offset(i128::midpoint(lower.0, upper.0));
    if offset.0.unsigned_abs() > bound.as_nanos() {
        return Err(Unchecked::Off { offset, bound });
    }
    Ok(offset)
}

async fn ntp(server: &str) -> Result<Offset, String> {
    let said = |error: std::io::Error| error.to_string();
    let address = tokio::net::lookup_host(server).await.map_err(said)?.next();
    let address = address.ok_or_else(|| "name has no address".to_owned())?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await.map_err(said)?;
    socket.connect(address).await.map_err(said)?;
    let mut cookie = [0; 8];
    SystemRandom::new().fill(&mut cookie).map_err(|_| "the system gave no random bytes".to_owned())?;
    let mut packet = [0; NTP_BYTES];
    packet[0] = CLIENT;
    packet[40..].copy_from_slice(&cookie);
    let sent = Timestamp::now();
    socket.send(&packet).await.map_err(said)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await.map_err(said)?;
    offset(&answer[..length], cookie, sent, Timestamp::now())
}

/// What an NTP server's answer says of a clock that read `sent` when the question left and `received` when it was back.
/// The question held random bytes where its time belongs: who did not see it cannot answer it, and nobody learns the time.
fn offset(answer: &[u8], cookie: [u8; 8], sent: Timestamp, received: Timestamp) -> Result<Offset, String> {
    let Some((answer, _)) = answer.split_first_chunk::<NTP_BYTES>() else {
        return Err(format!("answer is {} bytes, {NTP_BYTES} were expected", answer.len()));
    };
    if answer[0] & 7 != SERVER {
        return Err(format!("answer is of mode {}, {SERVER} was expected", answer[0] & 7));
    }
    if answer[24..32] != cookie {
        return Err("answer is to another question".to_owned());
    }
    if answer[0] >> 6 == UNSYNCHRONISED || !(1..=15).contains(&answer[1]) {
        return Err("server does not know the time itself".to_owned());
    }
    let time = |at: usize| {
        let word =
            |at: usize| u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
        let (seconds, fraction) = (word(at), word(at + 4));
        // 32 bits of seconds since 1900 end in 2036; from then on they count from there.
        let era = if seconds & 0x8000_0000 == 0 { 1_i128 << 32 } else { 0 };
        let seconds = i128::from(seconds) + era - SECONDS_FROM_1900_TO_1970;
        seconds * NANOS + ((i128::from(fraction) * NANOS) >> 32)
    };
    let (arrived, left) = (time(32), time(40));
    Ok(Offset(i128::midpoint(arrived - sent.as_nanosecond(), left - received.as_nanosecond())))
}

async fn date(web: &reqwest::Client, url: reqwest::Url) -> Result<Offset, String> {
    let sent = Timestamp::now();
    let answer = web.head(url).send().await.map_err(|error| error.to_string())?;
    let received = Timestamp::now();
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or_else(|| "answer has no date".to_owned())?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date);
    let date = date.map_err(|error| format!("date of the answer: {error}"))?;
    // The second is cut off, so half of one is the best guess.
    let halfway = i128::midpoint(sent.as_nanosecond(), received.as_nanosecond());
    Ok(Offset(date.as_nanosecond() + NANOS / 2 - halfway))
}

const TIMEOUT: Duration = Duration::from_secs(5);
const NANOS: i128 = 1_000_000_000;
const NTP_BYTES: usize = 48;
/// Version 4, mode 3.
const CLIENT: u8 = 0x23;
/// The mode of an answer.
const SERVER: u8 = 4;
const UNSYNCHRONISED: u8 = 3;
const SECONDS_FROM_1900_TO_1970: i128 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer at a time, as a server gives it.
    fn answer(time: u64, cookie: [u8; 8]) -> [u8; NTP_BYTES] {
        let mut packet = [0; NTP_BYTES];
        (packet[0], packet[1]) = (0x24, 2);
        packet[24..32].copy_from_slice(&cookie);
        let seconds = ((time + SECONDS_FROM_1900_TO_1970 as u64) as u32).to_be_bytes();
        packet[32..36].copy_from_slice(&seconds);
        packet[40..44].copy_from_slice(&seconds);
        packet
    }

    #[test]
    fn an_ntp_answer_says_how_far_off_the_clock_is() {
        for now in [1_790_000_000_u64, 2_085_978_495, 2_085_978_496, 3_000_000_000] {
            let wall = Timestamp::from_second(now.cast_signed() - 10).unwrap();
            let offset = offset(&answer(now, [7; 8]), [7; 8], wall, wall).unwrap();
            assert!((offset.seconds() - 10.0).abs() < 1e-6, "{now}: {offset:?}");
        }
        let wall = Timestamp::from_second(1_790_000_000).unwrap();
        let refused = |change: fn(&mut [u8; NTP_BYTES])| {
            let mut answer = answer(1_790_000_000, [7; 8]);
            change(&mut answer);
            offset(&answer, [7; 8], wall, wall).unwrap_err()
        };
        assert!(refused(|answer| answer[0] = 0x23).contains("mode 3"));
        assert!(refused(|answer| answer[24] = 1).contains("another question"));
        assert!(refused(|answer| answer[0] = 0xe4).contains("does not know"));
        assert!(refused(|answer| answer[1] = 0).contains("does not know"));
        assert!(offset(&[0; 47], [7; 8], wall, wall).unwrap_err().contains("47 bytes"));
    }

    #[test]
    fn the_median_of_at_least_half_decides() {
        let judge = |seconds: &[i128], asked| {
            let offsets = seconds.iter().map(|second| Offset(second * NANOS)).collect();
            judge(offsets, asked, "silent".to_owned(), Duration::from_secs(2))
        };
        assert_eq!(judge(&[1], 1), Ok(Offset(NANOS)));
        assert_eq!(judge(&[100, 0, 1], 5), Ok(Offset(NANOS)), "a liar is outvoted");
        assert_eq!(judge(&[1, 2], 4), Ok(Offset(NANOS * 3 / 2)));
        assert!(matches!(judge(&[3, -3, -4], 3), Err(Unchecked::Off { .. })));
        assert!(matches!(judge(&[0], 3), Err(Unchecked::Silent { answered: 1, asked: 3, .. })));
        assert!(matches!(judge(&[], 0), Err(Unchecked::Silent { .. })), "no source confirms nothing");
    }

    #[test]
    fn sources_are_named_in_two_ways() {
        let source = |text: &str| text.parse::<TimeSource>().map(|source| source.to_string()).ok();
        assert_eq!(source("time.example.org").as_deref(), Some("time.example.org:123"));
        assert_eq!(source("time.example.org:1123").as_deref(), Some("time.example.org:1123"));
        assert_eq!(source("https://example.org").as_deref(), Some("https://example.org/"));
        for wrong in ["", ":123", "time:x", "ftp://example.org", "https://"] {
            assert_eq!(source(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn servers_are_asked_and_silence_counts() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            let mut question = [0; 64];
            while let Ok((length, from)) = server.recv_from(&mut question).await {
                assert_eq!((length, question[0]), (NTP_BYTES, CLIENT));
                let now = Timestamp::now().as_second().cast_unsigned();
                let answer = answer(now, question[40..48].try_into().unwrap());
                server.send_to(&answer, from).await.unwrap();
            }
        });
        let app = axum::Router::new()
            .route("/", axum::routing::get(|| async { [("date", "Thu, 01 Jan 2026 00:00:00 GMT")] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = format!("http://{}", listener.local_addr().unwrap());
        let web_serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let check = async |names: &[&str]| {
            let sources = names.iter().map(|name| name.parse().unwrap()).collect();
            TimeSources::new(sources, Duration::from_secs(3)).unwrap().check().await
        };
        assert!(check(&[&address]).await.is_ok());
        assert!(check(&[&address, "127.0.0.1:1"]).await.is_ok(), "half is enough");
        assert!(matches!(check(&["127.0.0.1:1"]).await, Err(Unchecked::Silent { .. })));
        assert!(
            matches!(check(&[&web]).await, Err(Unchecked::Off { .. })),
            "the web server is far in the past"
        );
        serving.abort();
        web_serving.abort();
    }
}
