//! The body of a request, received within its bounds.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::trouble::Trouble;
use crate::door::Settings;

/// A body that was received, and the room that it takes among all that are in work.
pub(crate) struct Received {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Deref for Received {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// The room for bodies in work: what clients send at a time must not depend on how many they are.
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(IN_WORK_BYTES / UNIT_BYTES)))
    }
}

/// Bytes of bodies in work at a time; more are pushed back.
const IN_WORK_BYTES: usize = 256 << 20;
/// Room is given in pieces of this size.
const UNIT_BYTES: usize = 4 << 10;

/// Receives the whole body, or refuses it: by the length it announces, by the length it has, for want of room.
pub(crate) async fn received(settings: &Settings, room: &Room, body: Body) -> Result<Received, Trouble> {
    let (limit, timeout): (usize, Duration) = (settings.max_body_bytes, settings.body_timeout);
    if body.size_hint().lower() > limit as u64 {
        return Err(Trouble::TooLarge { limit });
    }
    let mut body = Limited::new(body, limit);
    let receiving = async {
        let (mut bytes, mut held): (BytesMut, Option<OwnedSemaphorePermit>) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Trouble::TooLarge { limit }
                } else {
                    Trouble::Broken(error.to_string())
                }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            bytes.extend_from_slice(&data);
            let needed =
                bytes.len().div_ceil(UNIT_BYTES) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = room.0.clone().try_acquire_many_owned(needed as u32).map_err(|_| Trouble::Full)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        Ok(Received { bytes: bytes.freeze(), _room: held })
    };
    match tokio::time::timeout(timeout, receiving).await {
        Err(_elapsed) => Err(Trouble::Slow { seconds: timeout.as_secs() }),
        Ok(received) => received,
    }
}

#[cfg(test)]
mod tests {
    use bulla_claims::Rules;

    use super::*;

    #[tokio::test]
    async fn bodies_in_work_share_a_room() {
        let settings = Settings::new(Rules::default());
        let room = Room(Arc::new(Semaphore::new(3)));
        let take = async |bytes: usize| received(&settings, &room, Body::from(vec![7; bytes])).await;
        let first = take(UNIT_BYTES + 1).await.ok().expect("two pieces of three");
        assert!(matches!(take(UNIT_BYTES + 1).await, Err(Trouble::Full)));
        let second = take(UNIT_BYTES).await.ok().expect("the third");
        assert_eq!((first.len(), second.len()), (UNIT_BYTES + 1, UNIT_BYTES));
        drop((first, second));
        assert!(take(3 * UNIT_BYTES).await.is_ok());
    }
}
