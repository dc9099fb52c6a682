//! Actions that are functions of their input.

use model::{Failure, FailureClass};
use serde_json::{Value, json};

/// Runs an instant action as its `attempt`-th attempt, from 1; none when the connector is not one.
pub fn run_instant(connector: &str, input: &Value, attempt: u32) -> Option<Result<Value, Failure>> {
    match connector {
        "core/noop" => Some(Ok(if input.is_null() { json!({}) } else { input.clone() })),
        "core/fib" => Some(fib(input)),
        "core/fail" => Some(fail(input, attempt)),
        _ => None,
    }
}

fn fib(input: &Value) -> Result<Value, Failure> {
    let n = input.get("n").and_then(Value::as_u64).filter(|n| *n <= 90);
    let n =
        n.ok_or_else(|| Failure::new(FailureClass::User, format!("`n` is {}, not a whole number from 0 to 90", input["n"])))?;
    let (value, _) = (0..n).fold((0u64, 1u64), |(a, b), _| (b, a + b));
    Ok(json!({ "value": value }))
}

/// Fails, for ever or only the first `times` attempts.
fn fail(input: &Value, attempt: u32) -> Result<Value, Failure> {
    if input.get("times").and_then(Value::as_u64).is_some_and(|times| u64::from(attempt) > times) {
        return Ok(json!({ "attempt": attempt }));
    }
    let message = input.get("message").and_then(Value::as_str).unwrap_or("it was asked to fail");
    let class = match input.get("class") {
        None | Some(Value::Null) => FailureClass::User,
        Some(class) => serde_json::from_value(class.clone()).map_err(|_| {
            Failure::new(FailureClass::User, format!("`class` is {class}, which is none of the classes of failures"))
        })?,
    };
    Err(Failure::new(class, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instant_actions() {
        assert_eq!(run_instant("core/fib", &json!({"n": 10}), 1), Some(Ok(json!({"value": 55}))));
        assert_eq!(run_instant("core/fib", &json!({"n": 90}), 1), Some(Ok(json!({"value": 2_880_067_194_370_816_120u64}))));
        assert!(run_instant("core/fib", &json!({"n": 91}), 1).unwrap().is_err());
        assert_eq!(run_instant("core/noop", &Value::Null, 1), Some(Ok(json!({}))));
        let failure = run_instant("core/fail", &json!({"class": "oom", "message": "m"}), 1).unwrap().unwrap_err();
        assert_eq!((failure.class, failure.message.as_str()), (FailureClass::Oom, "m"));
        let flaky = json!({"times": 2});
        assert!(run_instant("core/fail", &flaky, 2).unwrap().is_err());
        assert_eq!(run_instant("core/fail", &flaky, 3), Some(Ok(json!({"attempt": 3}))));
        assert!(run_instant("core/http", &Value::Null, 1).is_none());
    }
}
