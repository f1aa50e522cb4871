"""`edgefool web`."""

import gc
import os
import threading
import webbrowser
from typing import Annotated

import typer

from edgefool.cli.console import INTERRUPTED, err, out, with_options
from edgefool.cli.loading import load_named, print_limits
from edgefool.cli.options import DeviceName, EnsembleNames, JudgeNames, MaxMegapixels, parse_classifier, parse_device
from edgefool.text import plain


def web(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the address 127.0.0.1.", show_default="any free one")
    ] = 0,
    ensemble: EnsembleNames = None,
    verify_with: JudgeNames = None,
    device: DeviceName = "auto",
    max_megapixels: MaxMegapixels = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> int:
    """Change one photo on a page in your browser, as `edgefool protect` does; nothing leaves this machine.

    This does not protect photos against people, against classifiers that are trained on such photos, or against face
    recognition, which was not tested. It makes image classifiers, even ones that were not attacked, give many photos
    another class; the page shows what classifiers say about yours.
    """
    from edgefool.protection import ENSEMBLE
    from edgefool.web import Engine, serve

    print_limits(web)
    place = parse_device(device)
    names = [parse_classifier(name, option="--ensemble") for name in ensemble or ENSEMBLE]
    others = [parse_classifier(name, option="--verify-with") for name in verify_with or ()]
    classifiers = load_named(names + others, place)
    attacked, judges = classifiers[: len(names)], classifiers[len(names) :]
    err.print(f"device: {place}; loaded {plain(', '.join(c.name for c in classifiers))}")
    engine = Engine(attacked, judges, device=place, max_megapixels=max_megapixels)

    def ready(address: str) -> None:
        out.print(f"page: {address} (Ctrl-C ends it and deletes its photos)")
        if open_browser:  # in a thread, as a browser in the terminal returns when it is closed
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    is_working = serve(engine, port, ready=ready, reword=with_options)
    err.print("stopped; the photos of the page are deleted")
    if is_working:
        os._exit(INTERRUPTED)
    gc.freeze()  # or Python would look through all that torch holds, for seconds
    return INTERRUPTED
