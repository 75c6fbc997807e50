//! Views without their types, for the sake of the wasm's size: every distinct type of a view
//! costs kilobytes of code, and each type that Leptos erases carries a second, asynchronous way of
//! hydrating that only lazily loaded routes need.
//!
//! End a view with [`Erase::erased`] instead of `into_any()`, and wrap what changes in [`words`],
//! [`flag`] or [`part`], so that all such closures are one type each.

use leptos::ev::{MouseEvent, SubmitEvent};
use leptos::prelude::*;
use leptos::tachys::html::attribute::Attribute;
use leptos::tachys::html::attribute::any_attribute::AnyAttribute;
use leptos::tachys::hydration::Cursor;
use leptos::tachys::ssr::StreamBuilder;
use leptos::tachys::view::add_attr::AddAnyAttr;
use leptos::tachys::view::{Position, PositionState, Render, RenderHtml};

/// Text that changes.
pub type Words = Box<dyn FnMut() -> String + Send>;
/// One of several fixed texts.
pub type Phrase = Box<dyn FnMut() -> &'static str + Send>;
/// An attribute or a class that comes and goes.
pub type Flag = Box<dyn FnMut() -> bool + Send>;
/// A part of the page that changes.
pub type DynView = Box<dyn FnMut() -> AnyView + Send>;

/// Text that changes, as one type.
pub fn words(text: impl FnMut() -> String + Send + 'static) -> Words {
    Box::new(text)
}

/// One of several fixed texts, as one type.
pub fn phrase(text: impl FnMut() -> &'static str + Send + 'static) -> Phrase {
    Box::new(text)
}

/// An attribute or class that comes and goes, as one type.
pub fn flag(is_on: impl FnMut() -> bool + Send + 'static) -> Flag {
    Box::new(is_on)
}

/// A part of the page that changes, as one type.
pub fn part(view: impl FnMut() -> AnyView + Send + 'static) -> DynView {
    Box::new(view)
}

/// What a click does, as one type.
pub fn press(act: impl FnMut(MouseEvent) + 'static) -> Box<dyn FnMut(MouseEvent)> {
    Box::new(act)
}

/// What submitting a form does, as one type.
pub fn submit_with(act: impl FnMut(SubmitEvent) + 'static) -> Box<dyn FnMut(SubmitEvent)> {
    Box::new(act)
}

/// One of a list of views that come, go and move.
pub struct Item {
    /// Unique in the list. A view is made once for a key and then kept.
    pub key: String,
    pub view: Box<dyn FnOnce() -> AnyView + Send + Sync>,
}

/// A list that changes, as one type.
pub fn list(items: impl Fn() -> Vec<Item> + Send + Sync + 'static) -> AnyView {
    erased_list(Box::new(items))
}

fn erased_list(items: Box<dyn Fn() -> Vec<Item> + Send + Sync>) -> AnyView {
    view! {
        <For each=items key=|item| item.key.clone() let:item>
            {(item.view)()}
        </For>
    }
    .erased()
}

/// Erases a view's type.
pub trait Erase {
    fn erased(self) -> AnyView;
}

impl<V: RenderHtml + 'static> Erase for V {
    fn erased(self) -> AnyView {
        Synchronous(self).into_any()
    }
}

/// A view that hydrates at once even where it could wait: nothing in this app has to, because a
/// page's code is loaded before it is hydrated.
struct Synchronous<V>(V);

impl<V: Render> Render for Synchronous<V> {
    type State = V::State;

    fn build(self) -> Self::State {
        self.0.build()
    }

    fn rebuild(self, state: &mut Self::State) {
        self.0.rebuild(state);
    }
}

impl<V: RenderHtml> AddAnyAttr for Synchronous<V> {
    type Output<A: Attribute> = V::Output<A>;

    fn add_any_attr<A: Attribute>(self, attribute: A) -> Self::Output<A>
    where
        Self::Output<A>: RenderHtml,
    {
        self.0.add_any_attr(attribute)
    }
}

impl<V: RenderHtml> RenderHtml for Synchronous<V> {
    type AsyncOutput = V::AsyncOutput;
    type Owned = Synchronous<V::Owned>;

    const MIN_LENGTH: usize = V::MIN_LENGTH;
    const EXISTS: bool = V::EXISTS;

    fn dry_resolve(&mut self) {
        self.0.dry_resolve();
    }

    async fn resolve(self) -> Self::AsyncOutput {
        self.0.resolve().await
    }

    fn html_len(&self) -> usize {
        self.0.html_len()
    }

    fn to_html_with_buf(
        self,
        buffer: &mut String,
        position: &mut Position,
        escape: bool,
        mark_branches: bool,
        extra_attributes: Vec<AnyAttribute>,
    ) {
        self.0
            .to_html_with_buf(buffer, position, escape, mark_branches, extra_attributes);
    }

    fn to_html_async_with_buf<const OUT_OF_ORDER: bool>(
        self,
        buffer: &mut StreamBuilder,
        position: &mut Position,
        escape: bool,
        mark_branches: bool,
        extra_attributes: Vec<AnyAttribute>,
    ) {
        self.0.to_html_async_with_buf::<OUT_OF_ORDER>(
            buffer,
            position,
            escape,
            mark_branches,
            extra_attributes,
        );
    }

    fn hydrate<const FROM_SERVER: bool>(
        self,
        cursor: &Cursor,
        position: &PositionState,
    ) -> Self::State {
        self.0.hydrate::<FROM_SERVER>(cursor, position)
    }

    // `hydrate_async` stays the default, which hydrates at once.

    fn into_owned(self) -> Self::Owned {
        Synchronous(self.0.into_owned())
    }
}
