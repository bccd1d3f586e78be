//! Whether a text on a command line names a file or an image. It must not depend on who may write where the command runs: a file
//! that is called as an image is would be judged in its place.

use std::path::Path;

use crate::command::Failure;

/// Whether it names a file: `/…` and `.…` do, `oci:…` does not, and what else is a file does unless an image is written so, with
/// a host, a tag or a digest. That is refused.
pub(crate) fn is_file(text: &str) -> Result<bool, Failure> {
    if text.starts_with(['/', '.']) {
        return Ok(true);
    }
    let path = Path::new(text);
    if text.starts_with("oci:") || !path.exists() {
        return Ok(false);
    }
    if is_written_as_an_image(text) {
        return Err(Failure::usage(format!(
            "{text} is written as an image is, and there is a file of that name: write ./{text} for the file, or be where there is none"
        )));
    }
    if path.is_dir() {
        return Err(Failure::usage(format!("{text} is a directory: write oci:{text} for an image in it")));
    }
    Ok(true)
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
        assert!(is_file("./nothing").expect("is a path") && is_file("/nothing:1").expect("is a path"));
        assert!(!is_file("nothing").expect("an image") && !is_file("oci:src").expect("a layout"));
        assert!(is_file("Cargo.toml").expect("is there"));
        let refused = is_file("src").expect_err("is a directory").to_string();
        assert!(refused.ends_with("write oci:src for an image in it"), "{refused}");
    }
}
