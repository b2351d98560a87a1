//! The few functions of WASI that test guests call, as WIT. Types that cross must be whole; functions may be left out.

/// In the order of their dependencies.
pub(in crate::host) const PACKAGES: &[(&str, &str)] =
    &[("io.wit", IO), ("clocks.wit", CLOCKS), ("cli.wit", CLI), ("http.wit", HTTP), ("world.wit", WORLD)];

/// The world of a guest that imports them.
pub(in crate::host) const REACHING: &str = "test:guest/reaching";

const WORLD: &str = "
package test:guest;
world reaching {
  include amends:module/saga-module@0.1.0;
  import wasi:clocks/monotonic-clock@0.2.0;
  import wasi:clocks/wall-clock@0.2.0;
  import wasi:cli/stderr@0.2.0;
  import wasi:http/outgoing-handler@0.2.0;
}";

const IO: &str = "
package wasi:io@0.2.0;
interface error { resource error; }
interface poll { resource pollable { block: func(); } }
interface streams {
  use error.{error};
  variant stream-error { last-operation-failed(own<error>), closed }
  resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
}";

const CLOCKS: &str = "
package wasi:clocks@0.2.0;
interface monotonic-clock {
  use wasi:io/poll@0.2.0.{pollable};
  subscribe-duration: func(when: u64) -> own<pollable>;
}
interface wall-clock {
  record datetime { seconds: u64, nanoseconds: u32 }
  now: func() -> datetime;
}";

const CLI: &str = "
package wasi:cli@0.2.0;
interface stderr {
  use wasi:io/streams@0.2.0.{output-stream};
  get-stderr: func() -> own<output-stream>;
}";

const HTTP: &str = "
package wasi:http@0.2.0;
interface types {
  use wasi:io/poll@0.2.0.{pollable};
  record DNS-error-payload { rcode: option<string>, info-code: option<u16> }
  record TLS-alert-received-payload { alert-id: option<u8>, alert-message: option<string> }
  record field-size-payload { field-name: option<string>, field-size: option<u32> }
  variant error-code {
    DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable, destination-IP-prohibited,
    destination-IP-unroutable, connection-refused, connection-terminated, connection-timeout, connection-read-timeout,
    connection-write-timeout, connection-limit-reached, TLS-protocol-error, TLS-certificate-error,
    TLS-alert-received(TLS-alert-received-payload), HTTP-request-denied, HTTP-request-length-required,
    HTTP-request-body-size(option<u64>), HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
    HTTP-request-header-section-size(option<u32>), HTTP-request-header-size(option<field-size-payload>),
    HTTP-request-trailer-section-size(option<u32>), HTTP-request-trailer-size(field-size-payload), HTTP-response-incomplete,
    HTTP-response-header-section-size(option<u32>), HTTP-response-header-size(field-size-payload),
    HTTP-response-body-size(option<u64>), HTTP-response-trailer-section-size(option<u32>),
    HTTP-response-trailer-size(field-size-payload), HTTP-response-transfer-coding(option<string>),
    HTTP-response-content-coding(option<string>), HTTP-response-timeout, HTTP-upgrade-failed, HTTP-protocol-error,
    loop-detected, configuration-error, internal-error(option<string>),
  }
  resource fields { constructor(); }
  resource outgoing-request {
    constructor(headers: own<fields>);
    set-authority: func(authority: option<string>) -> result;
    set-path-with-query: func(path-with-query: option<string>) -> result;
  }
  resource request-options;
  resource future-incoming-response { subscribe: func() -> own<pollable>; }
}
interface outgoing-handler {
  use types.{outgoing-request, request-options, future-incoming-response, error-code};
  handle: func(request: own<outgoing-request>, options: option<own<request-options>>) -> result<own<future-incoming-response>, error-code>;
}";

/// Imports, and `$ask`: sends `GET https://probe/` and gives the future response.
pub(in crate::host) const IMPORTS: &str = r#"
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))"#;

pub(in crate::host) const ASK: &str = r#"
    (data (i32.const 46) "/")
    (func $ask (result i32)
        (local $request i32)
        (local.set $request (call $request (call $fields)))
        (drop (call $authority (local.get $request) (i32.const 1) (i32.const 40) (i32.const 5)))
        (drop (call $path (local.get $request) (i32.const 1) (i32.const 46) (i32.const 1)))
        (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024))
        (i32.load (i32.const 1032)))"#;
