//! What an error says once all its causes are asked.

use std::error::Error;

/// An error with its causes, the last of which says what happened: an HTTP error's own text stops at "error sending
/// request".
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_cause_is_said() {
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", nobody.local_addr().expect("an address"));
        drop(nobody);
        let client = crate::client().build().expect("a client");
        let error = client.get(url).send().await.expect_err("nobody listens");
        assert!(!error.to_string().contains("refused"), "{error}");
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }
}
