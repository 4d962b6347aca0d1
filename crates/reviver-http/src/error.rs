//! Why a message was not understood, and what is answered.
//!
//! Rule: a slug is never renamed; it stands in logs and metrics. The sentence is what a person reads and
//! holds nothing of the message itself.

use thiserror::Error;

macro_rules! errors {
    ($($variant:ident $status:literal $slug:literal $sentence:literal;)+) => {
        /// What makes a message unacceptable. Framing is in doubt after each of them, thus the connection
        /// must be closed once the answer is written (RFC 9112, section 9.6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
        pub enum ParseError {
            $(#[doc = $sentence] #[error($sentence)] $variant,)+
        }

        impl ParseError {
            /// Every error, in the order of the table.
            pub const ALL: &[ParseError] = &[$(ParseError::$variant,)+];

            /// Status to answer with when a client sent the message: 400, 414, 417, 431, 501 or 505.
            /// When an upstream sent it, the answer is 502 whatever this says.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// Stable name for logs and metrics.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)+ }
            }
        }
    };
}

errors! {
    TlsClientHello 400 "tls_client_hello" "TLS was spoken where plain HTTP is expected.";
    EmptyLines 400 "empty_lines" "More empty lines stand before the message than are skipped.";
    BareLf 400 "bare_lf" "A line ends in LF without CR.";
    BareCr 400 "bare_cr" "A CR stands without LF.";
    IncompleteHead 400 "incomplete_head" "The head is not complete, or not exactly one.";
    BadMethod 400 "bad_method" "The method is not a token.";
    BadRequestLine 400 "bad_request_line" "The request line is not a method, a target and a version.";
    BadTarget 400 "bad_target" "The request target is not of a known form.";
    BadTargetByte 400 "bad_target_byte" "The request target holds a byte that it must not hold.";
    BadEscape 400 "bad_escape" "The path holds a percent sign without two hexadecimal digits, or an encoded NUL.";
    PathAboveRoot 400 "path_above_root" "The path climbs above its root.";
    BadVersion 400 "bad_version" "The version of HTTP is malformed or missing.";
    UserInfo 400 "user_info" "A user name or password stands in the authority.";
    BadAuthority 400 "bad_authority" "The authority is malformed.";
    BadHost 400 "bad_host" "The host is not a name or an address.";
    BadPort 400 "bad_port" "The port is not a number from 1 to 65535.";
    MissingHost 400 "missing_host" "No host is named.";
    DuplicateHost 400 "duplicate_host" "More than one Host field is given.";
    BadFieldName 400 "bad_field_name" "A field name is not a token.";
    SpaceBeforeColon 400 "space_before_colon" "White space stands between a field name and its colon.";
    BadFieldValue 400 "bad_field_value" "A field value holds a control character.";
    ObsFold 400 "obs_fold" "A field is folded over more than one line.";
    BadConnection 400 "bad_connection" "The Connection field is malformed or names a field that is not for this hop.";
    ConflictingFraming 400 "conflicting_framing" "Both Content-Length and Transfer-Encoding are given.";
    BadContentLength 400 "bad_content_length" "The Content-Length is malformed or given more than once.";
    BadTransferEncoding 400 "bad_transfer_encoding" "The Transfer-Encoding does not end in exactly one chunked.";
    TransferEncodingInHttp10 400 "transfer_encoding_in_http10" "Transfer-Encoding stands in an HTTP/1.0 message.";
    UnexpectedContent 400 "unexpected_content" "The method does not take content.";
    BadPseudoField 400 "bad_pseudo_field" "The pseudo-header fields are not those of the method.";
    ConnectionField 400 "connection_field" "A field that belongs to a connection stands in an HTTP/2 message.";
    BadMaxForwards 400 "bad_max_forwards" "Max-Forwards is not one decimal number.";
    BadStatusLine 400 "bad_status_line" "The status line is malformed.";
    BadChunkSize 400 "bad_chunk_size" "A chunk size is malformed or too large.";
    BadChunkExtension 400 "bad_chunk_extension" "A chunk extension is malformed.";
    ChunkExtensionsTooLarge 400 "chunk_extensions_too_large" "The chunk extensions are larger than is accepted.";
    BadChunkEnd 400 "bad_chunk_end" "The data of a chunk is not followed by CRLF.";
    BadTrailer 400 "bad_trailer" "A trailer field is malformed.";
    ForbiddenTrailer 400 "forbidden_trailer" "A field for framing or routing stands in the trailers.";
    TargetTooLong 414 "target_too_long" "The request target is longer than is accepted.";
    ExpectationFailed 417 "expectation_failed" "The expectation is unknown.";
    HeadTooLarge 431 "head_too_large" "The head is larger than is accepted.";
    TooManyFields 431 "too_many_fields" "The head has more fields than are accepted.";
    TrailersTooLarge 431 "trailers_too_large" "The trailers are larger than is accepted.";
    MethodTooLong 501 "method_too_long" "The method is longer than any known one.";
    UnknownCoding 501 "unknown_coding" "A transfer coding other than chunked is not implemented.";
    UnknownProtocol 501 "unknown_protocol" "The protocol that an extended CONNECT asks for is not implemented.";
    UnknownScheme 501 "unknown_scheme" "The scheme of the target is not implemented.";
    UnsupportedVersion 505 "unsupported_version" "The version of HTTP is not supported.";
}
