//! Certificate requests (PKCS#10, RFC 2986) from outside: what they ask for, read once and held by value.
//!
//! Invariant: a request is read only if its own key signed it.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;

/// No request of a client comes near this size.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    /// DNS names and addresses.
    pub(crate) hosts: usize,
    /// Mail addresses, URIs and whatever else a name can be.
    pub(crate) other_names: usize,
    /// The subject, encoded.
    pub(super) subject: Vec<u8>,
    /// The public key with its algorithm, encoded.
    pub(super) public_key: Vec<u8>,
    /// The content of the extension with alternative names, encoded.
    pub(super) alternative_names: Option<Vec<u8>>,
}

impl Request {
    /// Reads DER. The error is a sentence for the caller.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(format!("must have at most {MAX_REQUEST_BYTES} bytes"));
        }
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|error| format!("unable to parse the certificate request: {error}"))?;
        if !rest.is_empty() {
            return Err("unable to parse the certificate request: trailing data".to_owned());
        }
        request
            .verify_signature()
            .map_err(|error| format!("the signature of the certificate request does not hold: {error}"))?;
        let info = &request.certification_request_info;
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let mut read = Self {
            common_name: info.subject.iter_common_name().next().and_then(text).unwrap_or_default(),
            organizations: info.subject.iter_organization().filter_map(text).collect(),
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            ..Self::default()
        };
        for attribute in info.iter_attributes() {
            if let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() {
                asked.extensions.iter().for_each(|extension| read.take(extension));
            }
        }
        Ok(read)
    }

    fn take(&mut self, extension: &X509Extension<'_>) {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { return };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(_) | GeneralName::IPAddress(_) => self.hosts += 1,
                _ => self.other_names += 1,
            }
        }
        self.alternative_names = Some(extension.value.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_request_is_read_when_its_key_signed_it() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, "dev");
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let read = Request::parse(request.der()).unwrap();
        assert_eq!(
            (read.common_name.as_str(), read.organizations.as_slice()),
            ("jane", &["dev".to_owned()][..])
        );
        assert_eq!((read.hosts, read.other_names), (2, 0));
        let mut forged = request.der().to_vec();
        let at = forged.windows(4).position(|w| w == b"jane").unwrap();
        forged[at] = b'J';
        assert!(Request::parse(&forged).unwrap_err().contains("signature"));
        assert!(Request::parse(&forged[..40]).is_err());
        assert!(Request::parse(&[]).is_err());
        assert!(Request::parse(&vec![0; MAX_REQUEST_BYTES + 1]).is_err());
    }
}
