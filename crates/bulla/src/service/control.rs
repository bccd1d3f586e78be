//! How commands speak with a log that runs: one line of JSON each way over a socket in its data directory, which only its owner
//! can open.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::command::Failure;

/// What a running log can be told.
#[derive(Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Order {
    /// End the active shard and begin the next.
    Rotate {
        /// The name that it signs under; the old one's if there is none.
        origin: Option<String>,
    },
    /// Look for keys that were staged, and take them up.
    TakeUp,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Done(String),
    Failed { code: u8, message: String },
}

/// The socket in a data directory.
fn socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

const LONGEST_LINE: u64 = 64 << 10;
/// How long whoever connects may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens in a data directory that is ours. Who cannot be listened to must stop the log to rotate it; that is no reason not to
/// serve.
pub(crate) fn listen(dir: &Path) -> Option<UnixListener> {
    let path = socket(dir);
    // The directory is locked: a socket that is there belongs to nobody any more.
    let _absent = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    listener
        .inspect_err(|error| tracing::warn!(socket = %path.display(), %error, "commands cannot reach this log while it runs"))
        .ok()
}

/// Takes orders until it is aborted.
pub(crate) async fn serve<F>(listener: UnixListener, carry_out: Arc<dyn Fn(Order) -> F + Send + Sync>)
where
    F: Future<Output = Result<String, Failure>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            // One at a time: there is nothing that two could do at once.
            Ok((stream, _)) => answer(stream, carry_out.as_ref()).await,
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer<F>(stream: UnixStream, carry_out: &(dyn Fn(Order) -> F + Send + Sync))
where
    F: Future<Output = Result<String, Failure>>,
{
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LONGEST_LINE));
    match tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await {
        Ok(Ok(length)) if length > 0 => {}
        _ => return,
    }
    let reply = match serde_json::from_str(&line) {
        Err(error) => Reply::Failed { code: 2, message: format!("the order cannot be read: {error}") },
        Ok(order) => match carry_out(order).await {
            Ok(done) => Reply::Done(done),
            Err(failure) => Reply::Failed { code: failure.code(), message: failure.to_string() },
        },
    };
    let mut text = serde_json::to_vec(&reply).unwrap_or_default();
    text.push(b'\n');
    // Whoever asked may be gone; what was ordered is done all the same.
    let _gone = write.write_all(&text).await;
}

/// Tells the log that runs in a directory; `None` if none does.
pub(crate) async fn tell(dir: &Path, order: &Order) -> Result<Option<String>, Failure> {
    let path = socket(dir);
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        // The last is a path too long for a socket: none was made.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Failure::unavailable(format!("{}: {error}", path.display()))),
    };
    let failed = |error: io::Error| Failure::unavailable(format!("{}: {error}", path.display()));
    let (read, mut write) = stream.into_split();
    let mut text = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    write.write_all(&text).await.map_err(failed)?;
    let mut line = String::new();
    BufReader::new(read.take(LONGEST_LINE)).read_line(&mut line).await.map_err(failed)?;
    match serde_json::from_str(&line) {
        Ok(Reply::Done(done)) => Ok(Some(done)),
        Ok(Reply::Failed { code, message }) => Err(Failure::with_code(code, message)),
        Err(_) => {
            Err(Failure::unavailable(format!("{}: the log went away before it answered", path.display())))
        }
    }
}
