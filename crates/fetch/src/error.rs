//! Why an exchange came to nothing.

use std::io;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not an address this program fetches.
    #[error("not an http or https address")]
    Address,
    /// No connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// Where to.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A connection, but no encryption.
    #[error("cannot connect to {host} over TLS")]
    Handshake {
        /// Where to.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server stopped talking HTTP.
    #[error("{host} does not answer as a web server does")]
    Protocol {
        /// Who.
        host: String,
        /// What happened.
        #[source]
        source: hyper::Error,
    },
    /// The server was silent for too long.
    #[error("{host} is silent")]
    Silent {
        /// Who.
        host: String,
    },
    /// Redirects that end nowhere, or at an unsafe place.
    #[error("{host} redirects to {to:?}: {problem}")]
    Redirect {
        /// Who.
        host: String,
        /// Where to.
        to: String,
        /// Why that is refused.
        problem: &'static str,
    },
    /// The machine's certificate authorities cannot be used.
    #[error("no TLS: {problem}")]
    Tls {
        /// Why.
        problem: String,
    },
}

impl FetchError {
    /// Whether the same request may have an answer a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Protocol { .. } | Self::Silent { .. })
    }

    /// Whether no server was reached that could have answered.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Silent { .. })
    }

    /// Whether the server at the other end does not speak TLS at all, which is something else than a certificate nobody trusts.
    pub fn is_no_tls(&self) -> bool {
        let Self::Handshake { source, .. } = self else { return false };
        let said = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match said {
            Some(error) => matches!(error, rustls::Error::InvalidMessage(_)),
            None => matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset),
        }
    }
}
