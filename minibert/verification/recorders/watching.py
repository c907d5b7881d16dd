"""Looking into a running model of another library: what each part is given and what it gives, and nothing left behind.

A watcher is a context manager. While it is open, `see(place, arguments, keywords, output)` is called for every call of a
part that has a place in the mapping, for an input before the part runs, since it may write its result over it. Torch's
modules are watched by forward hooks. Objects in Python, Flax NNX's modules among them, get a temporary subclass of their
own class, whose `__call__` looks; Flax linen lets calls be intercepted.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

from minibert.errors import TraceError
from minibert.verification.recorders.mapping import Finding, NameMapping, Place

See = Callable[[Place, tuple[Any, ...], Mapping[str, Any], Any], None]


@contextlib.contextmanager
def watch_torch(findings: list[Finding], see: See) -> Iterator[None]:
    """Forward hooks, which are removed."""
    import torch

    handles = []
    try:
        for place, part in findings:
            if not isinstance(part, torch.nn.Module):
                raise TraceError(f"{place.name}: {place.module} is a {type(part).__name__}; expected a module of torch")
            if place.input is None:
                handles.append(part.register_forward_hook(_output_hook(place, see), with_kwargs=True))
            else:
                handles.append(part.register_forward_pre_hook(_input_hook(place, see), with_kwargs=True))
        with plain_torch():
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Without gradients, and operation by operation what `torch.compile` has compiled: there hooks would be part of it."""
    import torch

    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        yield


def _output_hook(place: Place, see: See) -> Any:
    def hook(part: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        see(place, arguments, keywords, output)

    return hook


def _input_hook(place: Place, see: See) -> Any:
    def hook(part: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        see(place, arguments, keywords, None)

    return hook


@contextlib.contextmanager
def watch_objects(findings: list[Finding], see: See) -> Iterator[None]:
    """A class of its own for each part: Python looks `__call__` up in the class, not in the object."""
    by_part: dict[int, list[Finding]] = {}
    for finding in findings:
        by_part.setdefault(id(finding.part), []).append(finding)
    before: list[tuple[Any, type]] = []
    try:
        for same in by_part.values():
            place, part = same[0]
            own = type(part)
            if not callable(part) or isinstance(part, type | FunctionType):
                raise TraceError(f"{place.name}: {place.module} is a {own.__name__}; expected a part whose class has __call__")
            try:
                # Not by assignment: classes that freeze or watch their attributes would object.
                object.__setattr__(part, "__class__", _seen_class(own, [place for place, _ in same], see))
            except TypeError as problem:
                raise TraceError(f"{place.name}: {place.module}, a {own.__name__}, cannot be watched: {problem}") from None
            before.append((part, own))
        yield
    finally:
        for part, own in before:
            object.__setattr__(part, "__class__", own)


def _seen_class(own: type, places: list[Place], see: See) -> type:
    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        for place in places:
            if place.input is not None:
                see(place, arguments, keywords, None)
        output = own.__call__(self, *arguments, **keywords)
        for place in places:
            if place.input is None:
                see(place, arguments, keywords, output)
        return output

    # The metaclass makes it, so that it is a pytree like its parent where that is one: then it is seen under `jit`, too.
    names = {"__call__": call, "__slots__": (), "__module__": own.__module__, "__qualname__": own.__qualname__}
    return type(own)(own.__name__, (own,), names)


@contextlib.contextmanager
def watch_linen(mapping: NameMapping, see: See) -> Iterator[dict[str, Any]]:
    """Yields the tree of parts, which fills as they are called: a linen module has none before."""
    from flax import linen

    tree: dict[str, Any] = {}

    def look(run: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], context: Any) -> Any:
        output = run(*arguments, **keywords)
        if context.method_name == "__call__":
            below = tree
            for step in context.module.path:
                below = below.setdefault(step, {})
            for place in mapping.places_at(".".join(context.module.path)):
                see(place, arguments, keywords, output)
        return output

    with linen.intercept_methods(look):
        yield tree
