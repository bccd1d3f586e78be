//! The keys and certificates of the authorities in the data directory; what is missing is made.
//!
//! ```text
//! DIR/offline/root.key      key of the root: needed to make an authority, never to run one; to be taken away
//! DIR/offline/tuf-root.key  key of the repository's root, likewise
//! DIR/root.pem              certificate of the root
//! DIR/ca/ca.key, chain.pem  the certificate authority: its key unless --ca-key names it, its certificates up to the root
//! DIR/tsa/tsa.key, chain.pem
//! DIR/ct/ct.key, ct.pub     the certificate transparency log; beside them its ledger; DIR/ct-2, … those that followed it
//! DIR/tuf/online.key        signs the repository from day to day
//! ```
//!
//! A chain is written last: an authority is there when its chain is. How a key follows another is in `staged`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla_authority::PrivateKey;
use bulla_authority::ca::{
    self, Facts, INTERMEDIATE_LIFETIME, Issuer, Period, Profile, ROOT_LIFETIME, Serial, Subject,
};
use bulla_claims::SigningKey;
use bulla_claims::keys::{pem, public_key_pem};
use jiff::{SignedDuration, Timestamp};

use super::expiry::SOON;
use super::members::Members;
use super::named_key::NamedKeys;
use super::staged::{self, CHAIN, Plan};
use crate::command::Failure;
use crate::home::{make_directory, make_secret, not_writable, note, read_key};

/// An authority that has certificates.
pub(super) struct Certified {
    /// PEM, its own first, the root last.
    pub(super) chain: String,
    /// The key of the first.
    pub(super) key: Arc<dyn PrivateKey>,
}

/// What an authority of ours is called in its files and its certificate.
pub(super) struct Role {
    /// Its directory.
    pub(super) dir: &'static str,
    /// The file of its key.
    pub(super) key: &'static str,
    common_name: &'static str,
    profile: Profile,
    generate: fn() -> String,
}

/// Certifies identities.
pub(super) const CA: Role = Role {
    dir: "ca",
    key: "ca.key",
    common_name: "certificate authority",
    profile: Profile::CodeSigningIntermediate,
    generate: SigningKey::generate_ecdsa_p256_pem,
};

/// Attests times.
pub(super) const TSA: Role = Role {
    dir: "tsa",
    key: "tsa.key",
    common_name: "timestamp authority",
    profile: Profile::TimestampingLeaf,
    generate: SigningKey::generate_ecdsa_p256_pem,
};

/// Whose root it is, and where its key may be instead.
pub(super) struct Hierarchy<'a> {
    /// The data directory.
    pub(super) dir: &'a Path,
    /// In the names of all certificates.
    pub(super) organization: &'a str,
    /// The root's key, if it was taken elsewhere.
    pub(super) root_key: Option<&'a Path>,
    /// The option that names it.
    pub(super) root_key_option: &'static str,
    /// Its password, if it has one.
    pub(super) root_key_password: Option<&'a [u8]>,
    /// Keys of authorities that are not in the directory.
    pub(super) keys: NamedKeys<'a>,
}

/// Signing clients compare times by the second, and clocks differ by more than that.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

impl<'a> Hierarchy<'a> {
    /// That in a directory, with the root's key in its place.
    pub(super) fn new(dir: &'a Path, organization: &'a str) -> Self {
        Self {
            dir,
            organization,
            root_key: None,
            root_key_option: "--ca-root-key",
            root_key_password: None,
            keys: NamedKeys::default(),
        }
    }

    /// Lays a new authority beside that of a role, certified by the root.
    pub(super) async fn stage(&self, role: &Role, plan: &Plan, now: Timestamp) -> Result<(), Failure> {
        let place = staged::place(self.dir, role);
        if place.join(CHAIN).exists() {
            return Err(staged::staged_already(&place));
        }
        let (root, root_key) = self.root_at_hand()?;
        self.stage_under(&root, &root_key, role, plan, now).await
    }

    /// Makes a new root, and lays new authorities under it beside those of these roles. Its key is in `offline/` from then on,
    /// the old one's beside it. What an interrupted attempt made is used.
    pub(super) async fn stage_root(
        &self,
        roles: &[&Role],
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let offline = self.dir.join("offline");
        let (key, certificate) = (offline.join("root-next.key"), offline.join("root-next.pem"));
        for role in roles.iter().filter(|_| !key.exists()) {
            let place = staged::place(self.dir, role);
            if place.join(CHAIN).exists() {
                return Err(staged::staged_already(&place));
            }
        }
        make_directory(&offline)?;
        if !key.exists() {
            // Of an attempt that was interrupted after its key was in its place.
            staged::forget(&certificate)?;
        }
        let root_key =
            read_key(&secret(&offline, "root-next.key", SigningKey::generate_ecdsa_p384_pem)?, None)?;
        if !certificate.exists() {
            let name = format!("root {}", roots(self.dir)?.len() + 1);
            let issuer = Issuer::of_itself(&self.subject(&name), &root_key).map_err(Failure::usage)?;
            let root =
                self.certify(Profile::Root, &name, root_key.spki(), &issuer, now, ROOT_LIFETIME).await?;
            note(&offline, "root-next.pem", &pem("CERTIFICATE", &root))?;
        }
        let root = certificates(&certificate)?.swap_remove(0);
        for role in roles {
            let home = self.dir.join(role.dir);
            let is_under = |chain: &Path| certificates(chain).is_ok_and(|chain| chain.last() == Some(&root));
            if !staged::chains(&home)?.iter().any(|chain| is_under(chain)) {
                self.stage_under(&root, &root_key, role, plan, now).await?;
            }
        }
        let own = offline.join("root.key");
        if own.exists() {
            let kept = staged::free_name(&offline, |number| format!("root.{number}.key"))?;
            let moved = fs::rename(&own, offline.join(kept));
            moved.map_err(|error| not_writable(&offline, &error))?;
        }
        let moved = fs::rename(&key, &own).and_then(|()| fs::remove_file(&certificate));
        moved.map_err(|error| not_writable(&offline, &error))
    }

    async fn stage_under(
        &self,
        root: &[u8],
        root_key: &SigningKey,
        role: &Role,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let text = (role.generate)();
        let key = SigningKey::from_pem(&text, None).map_err(Failure::unavailable)?;
        let issuer = Issuer::of_certificate(root, root_key).map_err(Failure::usage)?;
        // A name of its own: some clients tell issuers apart by their names alone.
        let number = staged::others(&self.dir.join(role.dir))?.len() + 2;
        let name = format!("{} {number}", role.common_name);
        let lifetime = lifetime_under(root, now)?;
        let certificate = self.certify(role.profile, &name, key.spki(), &issuer, now, lifetime).await?;
        let chain = format!("{}{}", pem("CERTIFICATE", &certificate), pem("CERTIFICATE", root));
        staged::lay(&staged::place(self.dir, role), Some(plan), &[(role.key, &text)], &[(CHAIN, &chain)])
    }

    /// The authority in the directory; a new one is certified by the root, which is made with the first.
    pub(super) async fn open(&self, role: &Role, now: Timestamp) -> Result<Certified, Failure> {
        let dir = self.dir.join(role.dir);
        let chain = dir.join(CHAIN);
        if !chain.exists() {
            let members = Members::read(self.dir)?;
            if dir.join("other").exists() || !members.mentions(role.dir) {
                self.make(role, &dir, now).await?;
            } else {
                return Err(missing(&chain));
            }
        }
        let text = fs::read_to_string(&chain);
        let text = text.map_err(|error| Failure::usage(format!("{}: {error}", chain.display())))?;
        let key = self.keys.certified(role.dir, &dir.join(role.key), &chain, &text).await?;
        Ok(Certified { chain: text, key })
    }

    async fn make(&self, role: &Role, dir: &Path, now: Timestamp) -> Result<(), Failure> {
        make_directory(dir)?;
        let (root, root_key) = self.root(now).await?;
        // Of an attempt that was interrupted: a key that nothing certifies is as good as a new one.
        let key = self.keys.uncertified(role.dir, || secret(dir, role.key, role.generate)).await?;
        let issuer = Issuer::of_certificate(&root, &root_key).map_err(Failure::usage)?;
        let lifetime = lifetime_under(&root, now)?;
        let certificate =
            self.certify(role.profile, role.common_name, key.spki(), &issuer, now, lifetime).await?;
        note(dir, CHAIN, &format!("{}{}", pem("CERTIFICATE", &certificate), pem("CERTIFICATE", &root)))
    }

    /// The root's certificate and key.
    async fn root(&self, now: Timestamp) -> Result<(Vec<u8>, SigningKey), Failure> {
        let certificate = self.dir.join("root.pem");
        if !certificate.exists() {
            if let Some(dir) = [CA.dir, TSA.dir].iter().find(|dir| self.dir.join(dir).join(CHAIN).exists()) {
                tracing::error!(authority = dir, "is certified by a root that is not there");
                return Err(missing(&certificate));
            }
            let offline = self.dir.join("offline");
            make_directory(&offline)?;
            let key = read_key(&secret(&offline, "root.key", SigningKey::generate_ecdsa_p384_pem)?, None)?;
            let issuer = Issuer::of_itself(&self.subject("root"), &key).map_err(Failure::usage)?;
            let root = self.certify(Profile::Root, "root", key.spki(), &issuer, now, ROOT_LIFETIME).await?;
            note(self.dir, "root.pem", &pem("CERTIFICATE", &root))?;
        }
        self.root_at_hand()
    }

    /// The certificate and the key of the root that there is.
    fn root_at_hand(&self) -> Result<(Vec<u8>, SigningKey), Failure> {
        let root = root(self.dir)?.swap_remove(0);
        let own = self.own_root_key(&root);
        let (path, option) = (self.root_key.unwrap_or(&own), self.root_key_option);
        if !path.exists() {
            let problem = format!(
                "is needed to certify a new authority: put it back for this time, or pass {option} FILE"
            );
            return Err(Failure::usage(format!("the root's key {} {problem}", path.display())));
        }
        let key = read_key(path, self.root_key_password)?;
        if let Err(error) = Issuer::of_certificate(&root, &key) {
            return Err(Failure::usage(format!("{option} {}: {error}", path.display())));
        }
        Ok((root, key))
    }

    /// Where the key of the root in force lies in the directory: beside a newer one, if that root is not in force yet.
    fn own_root_key(&self, root: &[u8]) -> PathBuf {
        let offline = self.dir.join("offline");
        let certified = Facts::of(root).map(|facts| facts.spki).ok();
        let older =
            (1..).map(|number| offline.join(format!("root.{number}.key"))).take_while(|path| path.exists());
        let own = offline.join("root.key");
        let is_its =
            |path: &PathBuf| read_key(path, None).is_ok_and(|key| certified.as_deref() == Some(key.spki()));
        std::iter::once(own.clone()).chain(older).find(is_its).unwrap_or(own)
    }

    async fn certify(
        &self,
        profile: Profile,
        name: &str,
        spki: &[u8],
        issuer: &Issuer<'_>,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Vec<u8>, Failure> {
        let serial = Serial::random().map_err(Failure::unavailable)?;
        let period = Period::starting(now - BACKDATED, lifetime).map_err(Failure::usage)?;
        let made = ca::certify(profile, &self.subject(name), spki, issuer, period, serial).await;
        made.map_err(Failure::usage)
    }

    fn subject(&self, name: &str) -> Subject {
        let organization = self.organization.to_owned();
        Subject { common_name: format!("{organization} {name}"), organization }
    }
}

/// How long a certificate under a root may last: not longer than the root. A root that is about to end certifies nothing more.
fn lifetime_under(root: &[u8], now: Timestamp) -> Result<SignedDuration, Failure> {
    let ends = Facts::of(root).map_err(Failure::usage)?.ends;
    let left = ends.duration_since(now);
    if left < SOON {
        return Err(Failure::usage(format!(
            "the root ends at {ends}, too soon to certify anything: make a new one with `bulla trust rotate root`"
        )));
    }
    Ok((left + BACKDATED).min(INTERMEDIATE_LIFETIME))
}

/// The root, DER, as the only one of a list.
pub(super) fn root(dir: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let path = dir.join("root.pem");
    let all = certificates(&path)?;
    if all.len() != 1 {
        let problem = format!("has {} certificates, the root alone was expected", all.len());
        return Err(Failure::usage(format!("{}: {problem}", path.display())));
    }
    Ok(all)
}

/// All roots that something is believed by, DER: that of the stack, those before it, the one that is to follow.
pub(super) fn roots(dir: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = root(dir)?;
    for role in [&CA, &TSA] {
        for chain in staged::chains(&dir.join(role.dir))?.iter().filter(|chain| chain.exists()) {
            all.extend(certificates(chain)?.pop());
        }
    }
    let mut seen = HashSet::new();
    all.retain(|root| seen.insert(root.clone()));
    Ok(all)
}

/// The certificates in a file, DER.
pub(super) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    ca::certificates(&text).map_err(|problem| failed(&problem))
}

/// The key of the certificate transparency log in a directory, with its public half beside it; made for the first log only.
pub(super) fn ct_key(data: &Path, dir: &Path, new: bool) -> Result<SigningKey, Failure> {
    let path = dir.join("ct.key");
    if !new && !path.exists() {
        return Err(missing(&path));
    }
    let follows = Plan::read(dir)?;
    let was_there =
        follows.as_ref().map_or(Members::read(data)?.mentions("ct"), |plan| plan.published.is_some());
    if new && was_there {
        return Err(missing(dir));
    }
    make_directory(dir)?;
    let key = read_key(&secret(dir, "ct.key", SigningKey::generate_ecdsa_p256_pem)?, None)?;
    note(dir, "ct.pub", &public_key_pem(key.spki()))?;
    Ok(key)
}

/// What a stack had and lost must not be made anew: clients believe what was there.
pub(super) fn missing(path: &Path) -> Failure {
    let problem = "is missing, and clients believe what was there: put it back from a copy";
    Failure::usage(format!("{} {problem}", path.display()))
}

/// A private key file, made when it is not there.
pub(super) fn secret(dir: &Path, name: &str, generate: fn() -> String) -> Result<PathBuf, Failure> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(path);
    }
    make_directory(dir)?;
    make_secret(dir, name, &generate()).map_err(|error| not_writable(dir, &error))
}
