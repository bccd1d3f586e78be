//! Names of images as people write them, in the one canonical spelling: everything that is cached, compared, signed or
//! matched by a policy must be named in one way. <https://github.com/distribution/reference>.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::digest::{Digest, DigestError};

/// Where Docker Hub is in names.
const HUB: &str = "docker.io";
/// Where its registry listens.
const HUB_API: &str = "registry-1.docker.io";
/// Other spellings of it.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", HUB_API];
/// What a name without a host and with one component is below.
const HUB_LIBRARY: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const HTTPS: u16 = 443;
/// Host and name together, as registries bound it.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;
/// Name, colon, tag, `@` and the longest digest.
const LONGEST: usize = LONGEST_NAME + 1 + LONGEST_TAG + 1 + 7 + 128;

/// A registry: a host in lower case, and a port if one was named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Host(String);

/// A repository in a registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Repository {
    host: Host,
    name: String,
}

/// A tag: at most 128 letters, digits, underscores, dots and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(String);

/// An image: a repository, and a tag, a digest, or both.
///
/// With both, the digest says which image it is, and the tag only what somebody called it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// What a manifest is asked for by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// Whatever the tag points at now.
    Tag(Tag),
    /// Exactly this.
    Digest(Digest),
}

/// What is no name of an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("image {text:?}: {problem}")]
pub(crate) struct ReferenceError {
    text: String,
    problem: String,
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address in brackets; with or without a port.
    fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) =
                    rest.split_once(']').ok_or("the registry's IPv6 address has no closing bracket")?;
                let address: Ipv6Addr =
                    address.parse().map_err(|_| format!("{address:?} is no IPv6 address"))?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) };
                (format!("[{address}]"), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host_name(host)?, Some(port)),
                None => (host_name(text)?, None),
            },
        };
        let named = || {
            let hub = HUB_ALIASES.contains(&host.as_str()) || host == HUB;
            Self(if hub { HUB.to_owned() } else { host.clone() })
        };
        let Some(port) = port else { return Ok(named()) };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse::<u16>() {
            // Where TLS is spoken anyway, its port is not said: one registry has one name. This machine may speak without.
            Ok(HTTPS) if digits && !named().is_loopback() => Ok(named()),
            Ok(number) if number > 0 && digits => Ok(Self(format!("{host}:{number}"))),
            _ => Err(format!("the registry's port is {port:?}, 1 to 65535 was expected")),
        }
    }

    /// Host and port as an HTTP client asks for them.
    pub(crate) fn api(&self) -> &str {
        if self.0 == HUB { HUB_API } else { &self.0 }
    }

    /// Whether it is this machine, to which plain HTTP does not leave it: `localhost`, names below it, 127.0.0.0/8, `::1`.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = match self.0.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        };
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// As it is written in names.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("registry {text:?} is no host name"))
}

impl Repository {
    /// Reads `[HOST/]NAME`, without tag and digest.
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        let refused = |problem: String| ReferenceError { text: shortened(text), problem };
        Self::read(text).map_err(refused)
    }

    fn read(text: &str) -> Result<Self, String> {
        // What comes before the first slash is a host if it could be no component of a name, or is `localhost`.
        let is_host = |first: &str| first.contains(['.', ':', '[']) || first == "localhost";
        let (host, name) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (Host::parse(first)?, rest.to_owned()),
            _ => (Host(HUB.to_owned()), text.to_owned()),
        };
        let library = host.0 == HUB && !name.contains('/');
        let name = if library { format!("{HUB_LIBRARY}{name}") } else { name };
        if let Some(problem) = name.split('/').find_map(component_problem) {
            return Err(problem);
        }
        let len = host.0.len() + 1 + name.len();
        if len > LONGEST_NAME {
            return Err(format!(
                "registry and name have {len} characters, at most {LONGEST_NAME} are allowed"
            ));
        }
        Ok(Self { host, name })
    }

    /// The registry it is in.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Its name in that registry, such as `library/alpine`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, and what to do about it otherwise.
fn component_problem(component: &str) -> Option<String> {
    if component.is_empty() {
        return Some("the name of the repository has an empty component".to_owned());
    }
    if let Some(wrong) = component.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-')) {
        let fix = if wrong.is_ascii_uppercase() { ", names of repositories are lower case" } else { "" };
        return Some(format!("the name of the repository has {wrong:?} in {component:?}{fix}"));
    }
    let mut separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let outside = component.starts_with(['.', '_', '-']) || component.ends_with(['.', '_', '-']);
    let allowed = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    if outside || !separators.all(allowed) {
        let rule = "dots, underscores and hyphens stand alone and between letters or digits";
        return Some(format!("the name of the repository has {component:?}, {rule}"));
    }
    None
}

impl Tag {
    /// Reads a tag.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if text.is_empty() {
            return Err("the tag after the colon is empty".to_owned());
        }
        if text.len() > LONGEST_TAG {
            return Err(format!("the tag has {} characters, at most {LONGEST_TAG} are allowed", text.len()));
        }
        if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
            return Err(format!("the tag has {wrong:?}, letters, digits, _, . and - are allowed"));
        }
        if text.starts_with(['.', '-']) {
            return Err(format!("the tag {text:?} begins with a dot or hyphen"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    /// The repository.
    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag that was written, or `latest` if neither tag nor digest was.
    pub(crate) fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest that was written.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest if there is one.
    pub(crate) fn name(&self) -> Name {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Name::Digest(digest.clone()),
            (None, Some(tag)) => Name::Tag(tag.clone()),
            (None, None) => Name::Tag(Tag(DEFAULT_TAG.to_owned())),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty, [HOST/]NAME[:TAG][@DIGEST] was expected".to_owned());
        }
        if text.len() > LONGEST {
            return Err(format!("it has {} characters, at most {LONGEST} are allowed", text.len()));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(format!("leave out {scheme}://, as in {:?}", shortened(rest)));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|error: DigestError| error.to_string())?;
                (named, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let last = named.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match named[last..].find(':') {
            Some(colon) => (&named[..last + colon], Some(Tag::parse(&named[last + colon + 1..])?)),
            None => (named, None),
        };
        let repository = Repository::read(repository)?;
        let latest = || digest.is_none().then(|| Tag(DEFAULT_TAG.to_owned()));
        Ok(Self { repository, tag: tag.or_else(latest), digest })
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::read(text).map_err(|problem| ReferenceError { text: shortened(text), problem })
    }
}

impl Name {
    /// Reads what stands after the last slash of a manifest's path: a digest if it has a colon, else a tag.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return text.parse().map(Self::Digest).map_err(|error: DigestError| error.to_string());
        }
        Tag::parse(text).map(Self::Tag)
    }
}

/// Enough of what was given to be known again.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

macro_rules! debug_as_shown {
    ($($kind:ty),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_shown!(Host, Repository, Tag, Reference, Name);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "89333bc71f02c647533ab52e592ad22c609728f12eabff6fda0920109db40401";

    fn canonical(text: &str) -> String {
        text.parse::<Reference>().expect(text).to_string()
    }

    #[test]
    fn names_have_one_spelling() {
        for (text, expected) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.16.0", "docker.io/library/alpine:3.16.0"),
            ("chainguard/static", "docker.io/chainguard/static:latest"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
            ("registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest"),
            ("GHCR.io/org/app/part", "ghcr.io/org/app/part:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("127.0.0.1:5000/a__b/c.d-e--f:V_1.-", "127.0.0.1:5000/a__b/c.d-e--f:V_1.-"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("[0:0::1]/app", "[::1]/app:latest"),
            ("host.example:05000/app", "host.example:5000/app:latest"),
            ("host.example:0443/app", "host.example/app:latest"),
            ("docker.io:443/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io:443/alpine", "docker.io/library/alpine:latest"),
            ("localhost:443/app", "localhost:443/app:latest"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
        ] {
            assert_eq!(canonical(text), expected);
        }
        let both = format!("alpine:3@sha256:{HEX}");
        let reference: Reference = both.parse().expect("a reference");
        assert_eq!(reference.to_string(), format!("docker.io/library/{both}"));
        assert!(matches!(reference.name(), Name::Digest(digest) if digest.hex() == HEX));
        assert_eq!(
            canonical(&format!("alpine@sha256:{HEX}")),
            format!("docker.io/library/alpine@sha256:{HEX}")
        );
        assert_eq!(reference.repository().host().api(), "registry-1.docker.io");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_fix() {
        for (text, problem) in [
            ("", "it is empty, [HOST/]NAME[:TAG][@DIGEST] was expected"),
            ("https://ghcr.io/a", "leave out https://, as in \"ghcr.io/a\""),
            ("docker://alpine", "leave out docker://, as in \"alpine\""),
            (
                "Alpine",
                "the name of the repository has 'A' in \"Alpine\", names of repositories are lower case",
            ),
            ("a//b", "the name of the repository has an empty component"),
            ("ghcr.io/", "the name of the repository has an empty component"),
            ("a b", "the name of the repository has ' ' in \"a b\""),
            ("../../etc", "registry \"..\" is no host name"),
            (
                "a/../b",
                "the name of the repository has \"..\", dots, underscores and hyphens stand alone and between letters or digits",
            ),
            ("a..b/c", "registry \"a..b\" is no host name"),
            (
                "a/b___c",
                "the name of the repository has \"b___c\", dots, underscores and hyphens stand alone and between letters or digits",
            ),
            ("host:0/a", "the registry's port is \"0\", 1 to 65535 was expected"),
            ("host:65536/a", "the registry's port is \"65536\", 1 to 65535 was expected"),
            ("host:+80/a", "the registry's port is \"+80\", 1 to 65535 was expected"),
            ("host:/a", "the registry's port is \"\", 1 to 65535 was expected"),
            ("[::1/a", "the registry's IPv6 address has no closing bracket"),
            ("[::1]5/a", "the registry's port is \"\", 1 to 65535 was expected"),
            ("[fe80::1%eth0]/a", "\"fe80::1%eth0\" is no IPv6 address"),
            ("alpine:", "the tag after the colon is empty"),
            ("alpine:.a", "the tag \".a\" begins with a dot or hyphen"),
            ("alpine:a/b", "the registry's port is \"a\", 1 to 65535 was expected"),
            ("alpine@sha256:00", "digest has 2 characters after sha256:, sha256 needs 64"),
            ("alpine@latest", "digest has no colon, sha256:HEX was expected"),
            ("user@host.example/a", "digest has no colon, sha256:HEX was expected"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert_eq!(error, format!("image {text:?}: {problem}"));
        }
        let long = format!("ghcr.io/{}", "a".repeat(LONGEST_NAME - 8));
        assert_eq!(canonical(&long).len(), LONGEST_NAME + ":latest".len());
        for (text, part) in [
            (format!("{long}a"), "registry and name have 256 characters, at most 255 are allowed"),
            (format!("a:{}", "b".repeat(129)), "the tag has 129 characters, at most 128 are allowed"),
            ("a".repeat(10_000), "it has 10000 characters, at most 520 are allowed"),
        ] {
            let error = text.parse::<Reference>().expect_err("too long").to_string();
            assert!(error.ends_with(part) && error.len() < 400, "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |text: &str| Repository::parse(text).expect(text).host().is_loopback();
        for text in
            ["localhost/a", "localhost:1/a", "x.localhost/a", "127.0.0.1/a", "127.8.8.8:1/a", "[::1]:1/a"]
        {
            assert!(loopback(text), "{text}");
        }
        for text in ["a", "ghcr.io/a", "10.0.0.1/a", "localhost.example/a", "127.0.0.1.example/a", "[::2]/a"]
        {
            assert!(!loopback(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_a_canonical_form(text in "\\PC{0,60}|[a-z0-9A-Z./:@_\\[\\]-]{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().expect("canonical names are names");
                prop_assert_eq!(again, reference);
            }
        }

        #[test]
        fn what_is_put_together_is_read_apart(
            host in "[a-z][a-z0-9]{0,8}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?",
            name in "[a-z0-9]{1,5}([._-][a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}){0,3}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
        ) {
            let text = format!("{host}/{name}:{tag}");
            let reference: Reference = text.parse().expect("a name");
            let one_name = host.strip_suffix(":443").unwrap_or(&host);
            prop_assert_eq!(reference.repository().host().as_str(), one_name);
            prop_assert_eq!(reference.repository().name(), name);
            prop_assert_eq!(reference.tag().map(Tag::as_str), Some(tag.as_str()));
        }
    }
}
