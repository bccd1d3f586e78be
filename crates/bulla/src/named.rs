//! Whether a text on a command line names a file or an image. It must not depend on who may write where the command runs: a file
//! that is called as an image is would be judged in its place. Nor may a slip of the pen ask a registry that nobody meant.

use std::path::Path;

use crate::command::Failure;

/// Whether it names a file.
///
/// | text | what it is |
/// |---|---|
/// | `/…`, `.…` | a file, which must be there |
/// | `oci:…` | an image |
/// | with a host, a tag or a digest | an image; refused if there is a file of that name |
/// | anything else that is there | a file; refused if it is a directory |
/// | with a dot in its last part | a file that is not there, which is refused |
/// | the rest, such as `alpine` | an image |
pub(crate) fn is_file(text: &str) -> Result<bool, Failure> {
    let path = Path::new(text);
    // What may not be looked at is there; whoever reads it says why it cannot be read.
    let is_there = path.try_exists().unwrap_or(true);
    if text.starts_with(['/', '.']) {
        return if is_there { Ok(true) } else { Err(missing(text)) };
    }
    if text.starts_with("oci:") {
        return Ok(false);
    }
    let is_image = is_written_as_an_image(text);
    if !is_there {
        let last = text.rsplit('/').next().unwrap_or(text);
        return if !is_image && last.contains('.') { Err(missing(text)) } else { Ok(false) };
    }
    if is_image {
        return Err(Failure::usage(format!(
            "{text} is written as an image is, and there is a file of that name: write ./{text} for the file, or be where there is none"
        )));
    }
    if path.is_dir() {
        return Err(Failure::usage(format!("{text} is a directory: write oci:{text} for an image in it")));
    }
    Ok(true)
}

fn missing(text: &str) -> Failure {
    let fix = if text.starts_with(['/', '.']) {
        "the name of an image begins with a letter or a digit, such as app:1.2".to_owned()
    } else {
        format!("if an image is meant, say its registry or its tag, docker.io/{text} or {text}:latest")
    };
    Failure::usage(format!("{text}: there is no such file; {fix}"))
}

fn is_written_as_an_image(text: &str) -> bool {
    let (host, name) = text.split_once('/').unwrap_or(("", text));
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    host == "localhost" || host.contains(['.', ':']) || last.contains([':', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_not_taken_for_files() {
        for text in
            ["ghcr.io/org/app", "localhost/a", "host:5000/a", "app:1.2", "org/app@sha256:aa", "a/b/c:1"]
        {
            assert!(is_written_as_an_image(text), "{text}");
        }
        for text in ["app", "app.tar.gz", "dist/app.tar.gz", "a/b.c/d", "dist/v1.2/app"] {
            assert!(!is_written_as_an_image(text), "{text}");
        }
        assert!(!is_file("nothing").expect("an image") && !is_file("oci:src").expect("a layout"));
        assert!(is_file("Cargo.toml").expect("is there") && is_file("./Cargo.toml").expect("is there"));
        let refused = is_file("src").expect_err("is a directory").to_string();
        assert!(refused.ends_with("write oci:src for an image in it"), "{refused}");
    }

    #[test]
    fn a_file_that_is_not_there_is_not_asked_of_a_registry() {
        for text in
            ["./nothing", "../nothing", "/nothing:1", "nothing.txt", "src/nothing.json", "a/b/.c", "a.tar.gz"]
        {
            let refused = is_file(text).expect_err(text);
            let expected = format!("{text}: there is no such file; ");
            assert!(refused.code() == 2 && refused.to_string().starts_with(&expected), "{refused}");
            // What is said to mend it does.
            if let Some((_, fix)) = refused.to_string().split_once("say its registry or its tag, ") {
                assert!(fix.split(" or ").all(|name| !is_file(name).expect("an image")), "{fix}");
            }
        }
        for text in [
            "alpine",
            "org/app",
            "alpine:3.20",
            "ghcr.io/a/b",
            "ghcr.io/a/b.c",
            "localhost:5000/app",
            "docker.io/nothing.txt",
            "nothing.txt:latest",
            "nothing.txt@sha256:aa",
            "v1.2/app",
            "oci:nothing.d",
        ] {
            assert!(!is_file(text).expect(text), "{text}");
        }
    }
}
