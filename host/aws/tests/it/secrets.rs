//! Secrets, against both stand-ins.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use damper_aws::secrets::{SecretError, read, write};
use damper_stand_ins::{sdk_config, unique};

use crate::fake::{Answer, FakeService};

fn clients() -> impl Iterator<Item = Client> {
    let stand_ins = [damper_stand_ins::moto(), damper_stand_ins::ministack()];
    stand_ins.into_iter().flatten().map(|stand_in| Client::new(&sdk_config(stand_in.endpoint())))
}

#[tokio::test]
async fn a_secret_is_read_whole_or_by_a_key_of_its_object() {
    for client in clients() {
        let name = unique("damper/demo");
        let created =
            client.create_secret().name(&name).secret_string(r#"{"user":"u","key":"k"}"#).send().await.unwrap();
        assert_eq!(read(&client, &name, None).await.unwrap(), r#"{"user":"u","key":"k"}"#);
        assert_eq!(read(&client, &name, Some("key")).await.unwrap(), "k");
        assert_eq!(read(&client, created.arn().unwrap(), Some("user")).await.unwrap(), "u");
        assert!(matches!(read(&client, &name, Some("other")).await, Err(SecretError::NoKey { .. })));
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_text_says_so() {
    for client in clients() {
        let (missing, binary) = (unique("missing"), unique("binary"));
        client.create_secret().name(&binary).secret_binary(Blob::new([0, 159])).send().await.unwrap();
        assert!(matches!(read(&client, &missing, None).await, Err(SecretError::Missing(name)) if name == missing));
        assert!(matches!(read(&client, &binary, None).await, Err(SecretError::Binary(name)) if name == binary));
    }
}

#[tokio::test]
async fn what_is_written_is_read_and_only_where_a_secret_is() {
    for client in clients() {
        let (name, missing) = (unique("damper/demo"), unique("missing"));
        client.create_secret().name(&name).secret_string("one").send().await.unwrap();
        write(&client, &name, "two").await.unwrap();
        assert_eq!(read(&client, &name, None).await.unwrap(), "two");
        assert!(matches!(write(&client, &missing, "two").await, Err(SecretError::Missing(name)) if name == missing));
    }
}

#[tokio::test]
async fn a_role_that_may_not_hears_what_to_allow() {
    let denied = Answer::error(400, "AccessDeniedException", "User is not authorized");
    let client = Client::new(&FakeService::always(denied).await.config());
    let error = read(&client, "s", None).await.unwrap_err();
    assert!(matches!(error, SecretError::Denied(_)));
    assert!(error.to_string().contains("secretsmanager:GetSecretValue"), "{error}");
    let error = write(&client, "s", "hunter2").await.unwrap_err();
    assert!(matches!(error, SecretError::WriteDenied(_)));
    assert!(error.to_string().contains("secretsmanager:PutSecretValue"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}
