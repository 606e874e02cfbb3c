"""A network once for every image of a batch: the copies share their weights."""

from __future__ import annotations

from dataclasses import replace

from mapper.batch import image_name
from mapper.quantised_model import Port, QuantisedModel
from sim.quantised import Network

__all__ = ["batched_model", "batched_network"]


def batched_network(network: Network, images: int) -> Network:
    """`images` copies of a network side by side, named as in a plan for so many images."""
    copies = range(1, images + 1)
    return Network(
        name=network.name,
        tensors=tuple(
            replace(t, name=image_name(t.name, n)) for n in copies for t in network.tensors
        ),
        operators=tuple(
            replace(
                o,
                name=image_name(o.name, n),
                inputs=tuple(image_name(t, n) for t in o.inputs),
                output=image_name(o.output, n),
            )
            for n in copies
            for o in network.operators
        ),
        inputs=tuple(image_name(t, n) for n in copies for t in network.inputs),
        outputs=tuple(image_name(t, n) for n in copies for t in network.outputs),
    )


def batched_model(model: QuantisedModel, images: int) -> QuantisedModel:
    """The same of a model; its inputs and outputs are named after the image, too."""
    return QuantisedModel(
        network=batched_network(model.network, images),
        inputs=_ports(model.inputs, images),
        outputs=_ports(model.outputs, images),
        host=model.host,
    )


def _ports(ports: tuple[Port, ...], images: int) -> tuple[Port, ...]:
    return tuple(
        replace(p, name=image_name(p.name, n), tensor=image_name(p.tensor, n))
        for n in range(1, images + 1)
        for p in ports
    )
