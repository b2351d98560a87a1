//! Why a command failed, for scripts and for people: an exit code, and a text or one JSON object on stderr.
//!
//! stdout is data: after an error it is empty, so that a script never reads an error in place of a saga.

use std::io;

use amends_wire::error::ErrorDetail;
use serde::Serialize;

use super::{
    exit::{Exit, Fatal, Usage},
    session::say,
};
use amends_client::ClientError;
use amends_host::{plain::escape_json, service::verify::Unverified, trouble::Trouble};

/// `{"error":{…}}`, as the host answers, with the exit code of the command.
#[derive(Serialize)]
struct Failure {
    error: Detail,
}

#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    detail: ErrorDetail,
    /// The HTTP status, if the host answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The exit code.
    exit: u8,
}

/// Prints the error, and returns the exit code.
pub(super) fn report(error: &anyhow::Error, json: bool) -> Exit {
    let exit = exit_of(error);
    match json {
        true => say(&in_json(error)),
        false => say(&format!("amends: {error:#}")),
    }
    exit
}

/// The error of a command line that the parser refuses, as JSON.
pub(super) fn usage(message: &str) {
    let message = message.trim_start_matches("error: ").trim_end().to_owned();
    let detail = ErrorDetail { code: "usage".to_owned(), message, ..ErrorDetail::default() };
    say(&line(Detail { detail, status: None, exit: Exit::Usage as u8 }));
}

/// The reader of our output closed it: this is no error.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let causes = || error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn exit_of(error: &anyhow::Error) -> Exit {
    match (error.downcast_ref::<Fatal>(), error.downcast_ref::<Usage>(), error.downcast_ref::<ClientError>()) {
        (Some(fatal), ..) => fatal.exit(),
        (None, Some(_), _) => Exit::Usage,
        (None, None, Some(client)) if client.is_temporary() => Exit::TryAgain,
        (None, None, _) if is_trouble_of_this_machine(error) => Exit::TryAgain,
        (None, None, _) => Exit::Failed,
    }
}

/// A component could not be verified because this machine lacks something now: a repetition may succeed.
fn is_trouble_of_this_machine(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Unverified>().is_some_and(|unverified| match unverified.trouble {
        Trouble::Host => true,
        Trouble::Component | Trouble::Bug => false,
    })
}

fn in_json(error: &anyhow::Error) -> String {
    let exit = exit_of(error) as u8;
    let own = |code: &str| ErrorDetail { code: code.to_owned(), message: format!("{error:#}"), ..ErrorDetail::default() };
    let (status, detail) = if let Some(client) = error.downcast_ref::<ClientError>() {
        let (status, detail) = client.detail();
        // The context that the command adds before the cause, as the saga.
        let before: Vec<String> = error.chain().take_while(|cause| !cause.is::<ClientError>()).map(ToString::to_string).collect();
        let message = before.into_iter().chain([detail.message]).collect::<Vec<_>>().join(": ");
        (status, ErrorDetail { message, ..detail })
    } else if let Some(unverified) = error.downcast_ref::<Unverified>() {
        let Unverified { code, reasons, hint, .. } = unverified.clone();
        (None, ErrorDetail { hint, reasons, ..own(code) })
    } else if let Some(fatal) = error.downcast_ref::<Fatal>() {
        (None, own(fatal.code()))
    } else if error.is::<Usage>() {
        (None, own("usage"))
    } else {
        (None, own("failed"))
    };
    line(Detail { detail, status: status.map(|status| status.as_u16()), exit })
}

fn line(error: Detail) -> String {
    // Our own types serialise.
    escape_json(&serde_json::to_string(&Failure { error }).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use expect_test::expect;
    use http::StatusCode;

    use super::*;

    fn refused(status: StatusCode, code: &str) -> ClientError {
        let detail = ErrorDetail {
            code: code.to_owned(),
            message: "no saga `T9`".to_owned(),
            hint: Some("`amends list` shows them".to_owned()),
            ..ErrorDetail::default()
        };
        ClientError::Refused(status, Box::new(detail))
    }

    /// Every error was exit code 1 and a text, also with `--json`: no host, an id that is taken and a host that is overloaded
    /// were the same to a script, which must repeat one of them and not the others.
    #[test]
    fn c2_19_a_script_can_tell_what_to_do_by_the_exit_code_and_the_json() {
        let (address, cause) = ("http://h".to_owned(), "connection refused".to_owned());
        let lost = ClientError::Lost { address: address.clone(), cause: "the connection broke".to_owned() };
        let errors: Vec<anyhow::Error> = vec![
            ClientError::Unreachable { address: address.clone(), cause }.into(),
            anyhow::Error::new(lost).context("saga T9 may be started"),
            refused(StatusCode::SERVICE_UNAVAILABLE, "overloaded").into(),
            refused(StatusCode::INSUFFICIENT_STORAGE, "low_space").into(),
            refused(StatusCode::NOT_FOUND, "saga_not_found").into(),
            refused(StatusCode::INTERNAL_SERVER_ERROR, "internal").into(),
            ClientError::Garbled { address, cause: "status 200 OK".to_owned() }.into(),
            Usage("--all alone selects every saga".to_owned()).into(),
            Fatal::DataInUse("host 7 has it".to_owned()).into(),
            Err::<(), _>(Unverified {
                code: "bad_definition",
                reasons: vec!["no steps".to_owned()],
                hint: None,
                trouble: Trouble::Component,
            })
            .context("trip.wasm does not verify")
            .unwrap_err(),
            anyhow::anyhow!("a \u{202e}file"),
        ];
        let printed: String = errors.iter().map(|error| in_json(error) + "\n").collect();
        expect![[r#"
            {"error":{"code":"no_host","message":"no host answers at http://h (connection refused); start one with `amends serve`, or name another with --host","exit":7}}
            {"error":{"code":"host_lost","message":"saga T9 may be started: the host at http://h did not answer (the connection broke); the request may have been carried out, and can be repeated","exit":7}}
            {"error":{"code":"overloaded","message":"no saga `T9`","hint":"`amends list` shows them","status":503,"exit":7}}
            {"error":{"code":"low_space","message":"no saga `T9`","hint":"`amends list` shows them","status":507,"exit":7}}
            {"error":{"code":"saga_not_found","message":"no saga `T9`","hint":"`amends list` shows them","status":404,"exit":1}}
            {"error":{"code":"internal","message":"no saga `T9`","hint":"`amends list` shows them","status":500,"exit":1}}
            {"error":{"code":"not_a_host","message":"what answers at http://h is no host of Amends (status 200 OK); name another with --host","exit":1}}
            {"error":{"code":"usage","message":"--all alone selects every saga","exit":2}}
            {"error":{"code":"data_in_use","message":"host 7 has it","exit":75}}
            {"error":{"code":"bad_definition","message":"trip.wasm does not verify: no steps","reasons":["no steps"],"exit":1}}
            {"error":{"code":"failed","message":"a \u202efile","exit":1}}
        "#]].assert_eq(&printed);
    }

    #[test]
    fn c2_19_an_error_is_one_line_of_json() {
        let printed = in_json(&anyhow::anyhow!("two\nlines"));
        assert_eq!(printed.lines().count(), 1, "{printed}");
        serde_json::from_str::<serde_json::Value>(&printed).unwrap();
    }
}
