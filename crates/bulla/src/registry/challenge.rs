//! What a registry asks for when it answers 401: the `WWW-Authenticate` header, with several challenges in one line or
//! in many. RFC 9110, §11.6.1; <https://distribution.github.io/distribution/spec/auth/token/>.

/// The way in that a registry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from somewhere.
    Bearer {
        /// The URL that hands out tokens.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
        /// What the token must be for, as the registry says it.
        scope: Option<String>,
    },
    /// Name and password.
    Basic,
}

/// Header lines together.
const LONGEST: usize = 8 << 10;

/// Finds the challenge to answer: a Bearer one with a realm before a Basic one, whatever order they have. Others are
/// passed over, as is a line that ends in what is no challenge.
pub(crate) fn choose<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Challenge>, String> {
    let (mut basic, mut len) = (None, 0);
    for line in lines {
        len += line.len();
        if len > LONGEST {
            return Err(format!("WWW-Authenticate has more than {LONGEST} bytes"));
        }
        let mut cursor = Cursor { rest: line };
        while let Some((scheme, parameters)) = cursor.challenge() {
            if scheme.eq_ignore_ascii_case("bearer") {
                let named = |wanted: &str| {
                    let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                    found.map(|(_, value)| value.clone())
                };
                if let Some(realm) = named("realm") {
                    let (service, scope) = (named("service"), named("scope"));
                    return Ok(Some(Challenge::Bearer { realm, service, scope }));
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    Ok(basic)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The next scheme with its parameters; none at the end, or where no challenge can be read.
    fn challenge(&mut self) -> Option<(&'a str, Vec<(&'a str, String)>)> {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
        let scheme = self.token()?;
        let mut parameters = Vec::new();
        self.skip(is_space);
        let before = self.rest;
        if self.token68() {
            return Some((scheme, parameters));
        }
        self.rest = before;
        while let Some(parameter) = self.parameter() {
            parameters.push(parameter);
            self.skip(is_space);
            let before = self.rest;
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
            // After a comma comes another parameter, or another challenge: a word without an equals sign.
            let mut ahead = Cursor { rest: self.rest };
            if ahead.parameter().is_none() {
                self.rest = before;
                break;
            }
        }
        Some((scheme, parameters))
    }

    /// `name = value`, a token or a quoted string.
    fn parameter(&mut self) -> Option<(&'a str, String)> {
        let name = self.token()?;
        self.skip(is_space);
        self.rest = self.rest.strip_prefix(b"=")?;
        self.skip(is_space);
        let value = match self.rest.strip_prefix(b"\"") {
            Some(rest) => {
                self.rest = rest;
                self.quoted()?
            }
            None => self.token()?.to_owned(),
        };
        Some((name, value))
    }

    /// The rest of a quoted string, in which a backslash stands before what is meant as it is.
    fn quoted(&mut self) -> Option<String> {
        let mut value = Vec::new();
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return String::from_utf8(value).ok(),
                b'\\' => {
                    let (escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    value.push(*escaped);
                }
                other => value.push(*other),
            }
        }
    }

    /// Credentials in place of parameters, up to a comma or the end.
    fn token68(&mut self) -> bool {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let before = self.rest.len();
        self.skip(is_part);
        if self.rest.len() == before {
            return false;
        }
        self.skip(|byte| byte == b'=');
        self.skip(is_space);
        self.rest.is_empty() || self.rest.starts_with(b",")
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let len = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        std::str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) {
        let len = self.rest.iter().take_while(|byte| skipped(**byte)).count();
        self.rest = &self.rest[len..];
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Option<Challenge> {
        choose(lines.iter().map(|line| line.as_bytes())).expect("short")
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: &str| text.to_owned();
        Challenge::Bearer { realm: owned(realm), service: service.map(owned), scope: scope.map(owned) }
    }

    #[test]
    fn bearer_is_found_among_others() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = Some(bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:a/b:pull,push"),
        ));
        assert_eq!(of(&[hub]), expected);
        assert_eq!(of(&[r#"Basic realm="x""#, hub]), expected);
        assert_eq!(of(&[&format!(r#"Negotiate, Basic realm="a, b", {hub}"#)]), expected);
        assert_eq!(of(&[&format!("Negotiate YWJj==, {hub}")]), expected);
        assert_eq!(of(&[&format!(",, {hub} , Basic realm=x,")]), expected);
        assert_eq!(
            of(&[r#"bEARER Realm = "https://h/t" , Service=s"#]),
            Some(bearer("https://h/t", Some("s"), None))
        );
        assert_eq!(
            of(&[r#"Bearer realm="a \"quoted\" \\ one""#]),
            Some(bearer(r#"a "quoted" \ one"#, None, None))
        );
    }

    #[test]
    fn basic_is_taken_when_there_is_no_token_to_be_had() {
        assert_eq!(of(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(of(&[r#"Digest realm="x", nonce=abc, basic realm="y""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Bearer", "Basic realm=x"]), Some(Challenge::Basic), "a Bearer without a realm");
        assert_eq!(of(&[r#"Bearer service="s", Basic realm="x""#]), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_read_asks_for_nothing() {
        for line in ["", ",", "Digest realm=x", "\"", "=", r#"Bearer realm="open"#, "Bearer realm=", "\u{e4}"]
        {
            assert_eq!(of(&[line]), None, "{line}");
        }
        let long = "a".repeat(LONGEST);
        let error = choose([b"Basic".as_slice(), long.as_bytes()]).expect_err("too long");
        assert_eq!(error, "WWW-Authenticate has more than 8192 bytes");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = choose([line.as_slice()]);
        }

        #[test]
        fn any_value_survives_quoting(realm in "[ -~]{0,40}", before in "(Basic realm=\"[a-z ,]{0,9}\", ?){0,3}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("{before}Bearer service=s, realm=\"{quoted}\"");
            prop_assert_eq!(of(&[&line]), Some(bearer(&realm, Some("s"), None)));
        }
    }
}
