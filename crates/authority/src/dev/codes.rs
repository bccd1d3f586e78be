//! Codes that are handed out and wait to be turned into tokens: each once, for ten minutes, a bounded number.

use std::collections::VecDeque;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::issuer::Subject;

/// What a code stands for (RFC 6749 §4.1.2, RFC 7636 §4.4).
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) subject: Subject,
    pub(crate) client: String,
    pub(crate) redirect: String,
    pub(crate) challenge: Option<String>,
    pub(crate) nonce: Option<String>,
}

/// What a device waits for (RFC 8628).
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) code: String,
    pub(crate) user_code: String,
    pub(crate) client: String,
    challenge: Option<String>,
    /// Set when somebody has approved it.
    subject: Option<Subject>,
}

/// Why a code makes no token, in the words of the specifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GrantError {
    /// It is none, was used, is too old, or is another's.
    Invalid(&'static str),
    /// Nobody has approved it yet.
    Pending,
}

/// All codes.
#[derive(Default)]
pub(crate) struct Codes {
    grants: VecDeque<(Timestamp, String, Grant)>,
    devices: VecDeque<(Timestamp, Device)>,
}

impl Codes {
    /// Hands out a code.
    pub(crate) fn grant(&mut self, grant: Grant, now: Timestamp) -> Result<String, String> {
        self.forget(now);
        let code = secret()?;
        add(&mut self.grants, (now, code.clone(), grant));
        Ok(code)
    }

    /// Takes a code back. Whatever comes of it, it will not work again.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        client: &str,
        redirect: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<Grant, GrantError> {
        self.forget(now);
        let at = self.grants.iter().position(|(_, other, _)| same(other, code));
        let grant = at.and_then(|at| self.grants.remove(at));
        let Some((_, _, grant)) = grant else {
            return Err(GrantError::Invalid("code is unknown, was used, or is older than ten minutes"));
        };
        if grant.client != client {
            return Err(GrantError::Invalid("code was given to another client_id"));
        }
        if grant.redirect != redirect {
            return Err(GrantError::Invalid("redirect_uri is not the one that the code was sent to"));
        }
        prove(grant.challenge.as_deref(), verifier)?;
        Ok(grant)
    }

    /// Hands out a code to poll with and one to type.
    pub(crate) fn device(
        &mut self,
        client: &str,
        challenge: Option<String>,
        now: Timestamp,
    ) -> Result<Device, String> {
        self.forget(now);
        let device = Device {
            code: secret()?,
            user_code: typed()?,
            client: client.to_owned(),
            challenge,
            subject: None,
        };
        add(&mut self.devices, (now, device.clone()));
        Ok(device)
    }

    /// Approves what waits for a typed code; false if nothing does. Case, spaces and dashes do not matter.
    pub(crate) fn approve(&mut self, user_code: &str, subject: Subject, now: Timestamp) -> bool {
        self.forget(now);
        let plain = |code: &str| -> String {
            code.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
        };
        let wanted = plain(user_code);
        let waiting = self
            .devices
            .iter_mut()
            .find(|(_, device)| device.subject.is_none() && same(&plain(&device.user_code), &wanted));
        waiting.map(|(_, device)| device.subject = Some(subject)).is_some()
    }

    /// Takes the code of an approved device back.
    pub(crate) fn redeem_device(
        &mut self,
        code: &str,
        client: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<Subject, GrantError> {
        self.forget(now);
        let at =
            self.devices.iter().position(|(_, device)| same(&device.code, code) && device.client == client);
        let Some(at) = at else {
            let problem =
                "device_code is unknown, was used, is another client's, or is older than ten minutes";
            return Err(GrantError::Invalid(problem));
        };
        if self.devices[at].1.subject.is_none() {
            return Err(GrantError::Pending);
        }
        let device = self.devices.remove(at).map(|(_, device)| device);
        let Some(Device { subject: Some(subject), challenge, .. }) = device else {
            return Err(GrantError::Pending);
        };
        prove(challenge.as_deref(), verifier)?;
        Ok(subject)
    }

    fn forget(&mut self, now: Timestamp) {
        let old = |since: Timestamp| now.duration_since(since).abs() >= LIFETIME;
        while self.grants.front().is_some_and(|(since, ..)| old(*since)) {
            self.grants.pop_front();
        }
        while self.devices.front().is_some_and(|(since, _)| old(*since)) {
            self.devices.pop_front();
        }
    }
}

/// Adds one, for which the oldest goes if there are too many.
fn add<T>(codes: &mut VecDeque<T>, code: T) {
    if codes.len() >= MOST {
        codes.pop_front();
    }
    codes.push_back(code);
}

fn prove(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), GrantError> {
    let Some(challenge) = challenge else { return Ok(()) };
    let Some(verifier) = verifier else {
        return Err(GrantError::Invalid("code_verifier is missing, the code was asked for with a challenge"));
    };
    let made = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    if same(&made, challenge) {
        return Ok(());
    }
    Err(GrantError::Invalid("code_verifier does not belong to the challenge"))
}

fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// 256 random bits as text.
pub(crate) fn secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| "no random bytes".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A code for people (RFC 8628 §6.1): consonants, so that it makes no words.
fn typed() -> Result<String, String> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| "no random bytes".to_owned())?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    let letters: Vec<char> = bytes.iter().map(letter).collect();
    Ok(letters.chunks(4).map(|half| half.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// For how long a code waits.
const LIFETIME: SignedDuration = SignedDuration::from_secs(600);
/// Codes of each sort that wait at a time; older ones go first.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn subject() -> Subject {
        Subject::Email("a@example.org".to_owned())
    }

    fn grant(challenge: Option<&str>) -> Grant {
        Grant {
            subject: subject(),
            client: "sigstore".to_owned(),
            redirect: "http://localhost:1/".to_owned(),
            challenge: challenge.map(ToOwned::to_owned),
            nonce: None,
        }
    }

    #[test]
    fn a_code_works_once_for_ten_minutes_and_for_who_asked() {
        // RFC 7636 appendix B.
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let mut codes = Codes::default();
        let mut tried = |client, redirect, verifier, now| {
            let code = codes.grant(grant(Some(challenge)), at(0)).expect("a code");
            let first = codes.redeem(&code, client, redirect, verifier, at(now)).map(|grant| grant.subject);
            let again = codes.redeem(&code, "sigstore", "http://localhost:1/", Some("x"), at(now));
            assert!(matches!(
                again,
                Err(GrantError::Invalid("code is unknown, was used, or is older than ten minutes"))
            ));
            first
        };
        let here = "http://localhost:1/";
        assert_eq!(tried("sigstore", here, Some(verifier), 599), Ok(subject()));
        for (client, redirect, verifier, now) in [
            ("sigstore", here, Some(verifier), 600),
            ("other", here, Some(verifier), 1),
            ("sigstore", "http://localhost:2/", Some(verifier), 1),
            ("sigstore", here, Some("x"), 1),
            ("sigstore", here, None, 1),
        ] {
            assert!(
                matches!(tried(client, redirect, verifier, now), Err(GrantError::Invalid(_))),
                "{client} {now}"
            );
        }
    }

    #[test]
    fn a_device_waits_to_be_approved_and_works_once() {
        let mut codes = Codes::default();
        let device = codes.device("sigstore", None, at(0)).expect("a code");
        assert_eq!(codes.redeem_device(&device.code, "sigstore", None, at(1)), Err(GrantError::Pending));
        assert!(!codes.approve("BBBB-BBBB-B", subject(), at(1)));
        assert!(codes.approve(&device.user_code.to_lowercase().replace('-', " "), subject(), at(1)));
        assert!(!codes.approve(&device.user_code, subject(), at(1)), "it is approved already");
        assert!(matches!(
            codes.redeem_device(&device.code, "other", None, at(1)),
            Err(GrantError::Invalid(_))
        ));
        assert_eq!(codes.redeem_device(&device.code, "sigstore", None, at(1)), Ok(subject()));
        assert!(matches!(
            codes.redeem_device(&device.code, "sigstore", None, at(1)),
            Err(GrantError::Invalid(_))
        ));
        let late = codes.device("sigstore", None, at(0)).expect("a code");
        assert!(!codes.approve(&late.user_code, subject(), at(600)));
    }

    #[test]
    fn codes_that_wait_are_bounded() {
        let mut codes = Codes::default();
        for _ in 0..MOST + 10 {
            codes.grant(grant(None), at(0)).expect("a code");
            codes.device("sigstore", None, at(0)).expect("a code");
        }
        assert_eq!((codes.grants.len(), codes.devices.len()), (MOST, MOST));
    }
}
