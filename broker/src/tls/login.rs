//! Which user a client's certificate stands for, as RabbitMQ's
//! `rabbitmq_auth_mechanism_ssl` reads it.

use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Any, Decode, Tag, Tagged};

use crate::config::LoginFrom;

/// The user's name, unless the certificate has none of the kind asked for.
pub(super) fn user(certificate: &[u8], from: LoginFrom) -> Option<String> {
    let subject = Certificate::from_der(certificate).ok()?.tbs_certificate.subject;
    match from {
        // RFC 4514: the most specific part first.
        LoginFrom::DistinguishedName => Some(subject.to_string()).filter(|name| !name.is_empty()),
        LoginFrom::CommonName => {
            let attributes = subject.0.iter().flat_map(|part| part.0.iter());
            let names: Vec<_> = attributes.filter(|attribute| attribute.oid == COMMON_NAME).collect();
            // RabbitMQ joins several.
            let texts: Option<Vec<String>> = names.iter().map(|name| text(&name.value)).collect();
            texts.map(|texts| texts.join(",")).filter(|name| !name.is_empty())
        }
    }
}

fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        _ => None,
    }
}
