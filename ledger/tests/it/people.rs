//! Administrators, sessions, and the brake on guessing.

use ledger::{AdministratorRefusal, LifeOutOfRange, PasswordFault, SignInRefusal, Visitor};

use crate::{Books, actor, refusal, user};

const PASSWORD: &str = "correct horse battery";

#[tokio::test]
async fn an_administrator_signs_in_and_out() {
    let books = Books::open().await;
    books
        .ledger
        .create_administrator("ada", PASSWORD, &actor())
        .await
        .unwrap();
    let session = books.ledger.sign_in("ada", PASSWORD, "here").await.unwrap();
    let visitor = books.ledger.visitor(&session.token).await.unwrap();
    assert_eq!(visitor, Some(Visitor::Administrator { name: "ada".into() }));
    books.ledger.sign_out(&session.token).await.unwrap();
    assert_eq!(books.ledger.visitor(&session.token).await.unwrap(), None);
}

#[tokio::test]
async fn weak_passwords_and_taken_names_are_refused() {
    let books = Books::open().await;
    let short = books
        .ledger
        .create_administrator("ada", "short", &actor())
        .await;
    assert_eq!(
        refusal(short),
        AdministratorRefusal::Password(PasswordFault::TooShort { chars_min: 12 })
    );
    books
        .ledger
        .create_administrator("ada", PASSWORD, &actor())
        .await
        .unwrap();
    let taken = books
        .ledger
        .create_administrator("ada", PASSWORD, &actor())
        .await;
    assert_eq!(refusal(taken), AdministratorRefusal::NameTaken);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guesser_alone() {
    let books = Books::open().await;
    books
        .ledger
        .create_administrator("ada", PASSWORD, &actor())
        .await
        .unwrap();
    for _ in 0..10 {
        let wrong = books.ledger.sign_in("ada", "wrong", "there").await;
        assert_eq!(refusal(wrong), SignInRefusal::WrongPassword);
    }
    let refused = refusal(books.ledger.sign_in("ada", PASSWORD, "there").await);
    assert!(matches!(refused, SignInRefusal::TooManyAttempts { .. }));
    books
        .ledger
        .sign_in("ada", PASSWORD, "elsewhere")
        .await
        .unwrap();
    let unknown = books.ledger.sign_in("nobody", PASSWORD, "elsewhere").await;
    assert_eq!(
        refusal(unknown),
        SignInRefusal::WrongPassword,
        "an unknown name is not given away"
    );
}

#[tokio::test]
async fn a_user_token_is_short_lived() {
    let books = Books::open().await;
    let session = books
        .ledger
        .create_user_session(&user("u"), 3600, &actor())
        .await
        .unwrap();
    assert_eq!(
        books.ledger.visitor(&session.token).await.unwrap(),
        Some(Visitor::User(user("u")))
    );
    sqlx::query("update session set expires_at = now()")
        .execute(&books.pool)
        .await
        .unwrap();
    assert_eq!(books.ledger.visitor(&session.token).await.unwrap(), None);
    let too_long = books
        .ledger
        .create_user_session(&user("u"), 1_000_000, &actor())
        .await;
    assert_eq!(
        refusal(too_long),
        LifeOutOfRange {
            seconds_max: 24 * 60 * 60
        }
    );
}
