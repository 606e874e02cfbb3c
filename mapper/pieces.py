"""One operator as computations of one word of output channels each.

The layout is NHWC with the channels of a pixel padded to whole words. What pads them is computed
like any channel, and weights of zero make sure that nobody depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw.errors import InputError
from hw.isa import Path
from sim.quantised import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    Network,
    Operator,
    Requantisation,
    Shape,
    Shuffle,
)
from sim.reference import Conv2d, Integers

__all__ = ["MAXIMA", "Piece", "pieces_of", "require_sizes", "words_per_pixel"]

MAXIMA = {"words": 1023, "kernel": 255, "stride": 15, "dilation": 15}
"""What the fields of one computation hold."""

_ONE = (1 << 30, 30)  # multiplier and shift that change nothing


def words_per_pixel(channels: int, word_bytes: int) -> int:
    """Words that hold the channels of one pixel."""
    return -(-channels // word_bytes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A computation before addresses: one word of output channels, for a region of the output.

    Attributes
    ----------
    path : Path
    operand : int
        Which input it reads; on an addition, tap 1 reads the other one.
    first_word, words : int
        Words of each input pixel.
    kernel : (int, int)
    geometry : Conv2d
        Stride, padding and dilation.
    region : (int, int, int, int)
        Output rows ``[0], ..., [1] - 1`` and columns ``[2], ..., [3] - 1``.
    first_tap : (int, int)
        Rows and columns of the input from the window's begin to the first tap.
    block : bytes
        Parameters of the channels, then the weights in the order in which they are used.
    scalars : (int, int)
    pad_value : int
    out_word : int
        Word of each output pixel that it writes.
    mask : int
        Bytes of that word.
    post : Requantisation
        Only its zero point and range; the rest is in `block`.
    """

    path: Path
    operand: int = 0
    first_word: int
    words: int = 1
    kernel: tuple[int, int]
    geometry: Conv2d
    region: tuple[int, int, int, int]
    first_tap: tuple[int, int] = (0, 0)
    block: bytes
    scalars: tuple[int, int] = (0, 0)
    pad_value: int = 0
    out_word: int
    mask: int
    post: Requantisation


def pieces_of(network: Network, operator: Operator, word_bytes: int) -> list[Piece]:
    """The computations of an operator, in the order in which they run.

    Those with equal blocks follow one another: a block is loaded once, however small the weight
    memory is.

    Raises
    ------
    InputError
        The batch is not 1.
    """
    shapes = [network.tensor(name).shape for name in operator.inputs]
    output = network.tensor(operator.output).shape
    if output[0] != 1:
        raise InputError(
            f"{network.name}: batch of {operator.name!r} must be 1, not {output[0]}: "
            "run the images one after another."
        )
    lowering = _Lowering(shapes, output, word_bytes)
    found = list(lowering.pieces(operator))
    blocks = {block: n for n, block in enumerate(dict.fromkeys(p.block for p in found))}
    return sorted(found, key=lambda piece: blocks[piece.block])


def require_sizes(network: Network, operator: Operator, pieces: Iterable[Piece]) -> None:
    """Refuses pieces of an operator that one computation cannot be.

    Raises
    ------
    InputError
        A size does not fit its field.
    """
    for piece in pieces:
        sizes = {
            "words": piece.words,
            "kernel": max(piece.kernel),
            "stride": max(piece.geometry.stride),
            "dilation": max(piece.geometry.dilation),
        }
        for what, size in sizes.items():
            if size > MAXIMA[what]:
                raise InputError(
                    f"{network.name}: {what} of {operator.name!r} must be at most "
                    f"{MAXIMA[what]}, not {size}."
                )


@dataclass(frozen=True)
class _Lowering:
    shapes: list[Shape]
    output: Shape
    word_bytes: int

    def pieces(self, operator: Operator) -> Iterator[Piece]:
        match operator:
            case Conv() if operator.depthwise:
                yield from self._depthwise(operator)
            case Conv():
                yield from self._convolution(operator)
            case Dense():
                yield from self._dense(operator)
            case Add():
                post, bias = operator.post, operator.bias
                yield from self._vector(
                    Path.SCALARS, (1, 2), Conv2d(), post, bias, scalars=operator.factors
                )
            case MaxPool():
                yield from self._vector(
                    Path.MAXIMUM, operator.kernel, operator.geometry, operator.post,
                    operator.bias, pad_value=-128,
                )  # fmt: skip
            case AveragePool():
                yield from self._average(operator)
            case GlobalAveragePool():
                yield from self._vector(
                    Path.SCALARS, self.shapes[0][1:3], Conv2d(), operator.post, operator.bias,
                    scalars=(1, 1),
                )  # fmt: skip
            case Concat():
                yield from self._concat(operator)
            case Shuffle():
                yield from self._shuffle(operator)

    # What the operators share.

    @property
    def _whole(self) -> tuple[int, int, int, int]:
        return (0, self.output[1], 0, self.output[2])

    def _out_words(self) -> Iterator[tuple[int, slice]]:
        """Words of an output pixel, and the channels in each."""
        for word in range(words_per_pixel(self.output[3], self.word_bytes)):
            first = word * self.word_bytes
            yield word, slice(first, min(first + self.word_bytes, self.output[3]))

    def _full(self) -> int:
        return (1 << self.word_bytes) - 1

    def _parameters(self, bias: Integers, multiplier: Integers, shift: Integers) -> bytes:
        """Channel parameters as the hardware reads them; missing channels are zero."""
        lanes = self.word_bytes
        columns = [np.zeros(lanes, np.int64) for _ in range(3)]
        for column, values in zip(columns, (bias, multiplier, shift), strict=True):
            column[: len(values)] = values
        return (
            columns[0].astype("<i4").tobytes()
            + columns[1].astype("<u4").tobytes()
            + columns[2].astype(np.uint8).tobytes()
        )

    def _of(self, post: Requantisation, channels: slice) -> tuple[Integers, Integers]:
        """Multipliers and shifts of some channels."""
        count = channels.stop - channels.start
        if post.multiplier.size == 1:
            return np.repeat(post.multiplier, count), np.repeat(post.shift, count)
        return post.multiplier[channels], post.shift[channels]

    def _vector(
        self,
        path: Path,
        kernel: Sequence[int],
        geometry: Conv2d,
        post: Requantisation,
        bias: int,
        *,
        scalars: tuple[int, int] = (0, 0),
        pad_value: int = 0,
        region: tuple[int, int, int, int] | None = None,
    ) -> Iterator[Piece]:
        """One piece per word, all channels treated alike."""
        for word, channels in self._out_words():
            multiplier, shift = self._of(post, channels)
            yield Piece(
                path=path,
                first_word=word,
                kernel=(kernel[0], kernel[1]),
                geometry=geometry,
                region=region or self._whole,
                block=self._parameters(np.full(len(shift), bias), multiplier, shift),
                scalars=scalars,
                pad_value=pad_value,
                out_word=word,
                mask=self._full(),
                post=post,
            )

    def _matrix(self, weights: npt.NDArray[np.int8], *, first_word: int, words: int) -> bytes:
        """Weights (outputs, taps, channels of the words read) in streaming order."""
        lanes = self.word_bytes
        outputs, taps, _ = weights.shape
        padded = np.zeros((lanes, taps, words * lanes), np.int8)
        start = first_word * lanes
        part = weights[:, :, start : start + words * lanes]
        padded[:outputs, :, : part.shape[2]] = part
        return padded.transpose(1, 2, 0).tobytes()

    # Operators.

    def _convolution(self, o: Conv) -> Iterator[Piece]:
        outputs, kh, kw, depth = o.weight.shape
        per_group = outputs // o.geometry.groups
        for word, channels in self._out_words():
            groups = range(channels.start // per_group, (channels.stop - 1) // per_group + 1)
            first = groups[0] * depth // self.word_bytes
            last = ((groups[-1] + 1) * depth - 1) // self.word_bytes
            dense = np.zeros((channels.stop - channels.start, kh * kw, self.shapes[0][3]), np.int8)
            for n, channel in enumerate(range(channels.start, channels.stop)):
                start = channel // per_group * depth
                dense[n, :, start : start + depth] = o.weight[channel].reshape(-1, depth)
            multiplier, shift = self._of(o.post, channels)
            words = last - first + 1
            yield Piece(
                path=Path.ARRAY,
                first_word=first,
                words=words,
                kernel=(kh, kw),
                geometry=o.geometry,
                region=self._whole,
                block=self._parameters(o.bias[channels].astype(np.int64), multiplier, shift)
                + self._matrix(dense, first_word=first, words=words),
                pad_value=o.pad_value,
                out_word=word,
                mask=self._full(),
                post=o.post,
            )

    def _depthwise(self, o: Conv) -> Iterator[Piece]:
        _, kh, kw, _ = o.weight.shape
        for word, channels in self._out_words():
            multiplier, shift = self._of(o.post, channels)
            taps = np.zeros((kh * kw, self.word_bytes), np.int8)
            part = o.weight[channels, :, :, 0].reshape(-1, kh * kw)
            taps[:, : len(part)] = part.T
            yield Piece(
                path=Path.TAPS,
                first_word=word,
                kernel=(kh, kw),
                geometry=o.geometry,
                region=self._whole,
                block=self._parameters(o.bias[channels].astype(np.int64), multiplier, shift)
                + taps.tobytes(),
                pad_value=o.pad_value,
                out_word=word,
                mask=self._full(),
                post=o.post,
            )

    def _dense(self, o: Dense) -> Iterator[Piece]:
        """A convolution whose kernel is the whole image."""
        _, height, width, channels = self.shapes[0]
        weight = o.weight.reshape(len(o.weight), height, width, channels)
        yield from self._convolution(
            Conv(
                name=o.name,
                inputs=o.inputs,
                output=o.output,
                weight=weight,
                bias=o.bias,
                geometry=Conv2d(),
                pad_value=0,
                post=o.post,
            )
        )

    def _average(self, o: AveragePool) -> Iterator[Piece]:
        """Windows that reach into uncounted padding have divisors of their own."""
        for region, count in _regions(o, self.shapes[0], self.output):
            post = o.border.get(count, o.post) if o.border else o.post
            yield from self._vector(
                Path.SCALARS, o.kernel, o.geometry, post, o.bias,
                scalars=(1, 1), pad_value=o.pad_value, region=region,
            )  # fmt: skip

    def _concat(self, o: Concat) -> Iterator[Piece]:
        start = 0
        for operand, shape in enumerate(self.shapes):
            post, bias = o.posts[operand], o.biases[operand]
            source = np.arange(self.output[3]) - start
            source[(source < 0) | (source >= shape[3])] = -1
            yield from self._select(operand, source, post, bias)
            start += shape[3]

    def _shuffle(self, o: Shuffle) -> Iterator[Piece]:
        channels = self.shapes[0][3]
        source = np.arange(channels).reshape(o.groups, -1).T.ravel()
        multiplier, shift = (np.array([value], np.int64) for value in _ONE)
        same = Requantisation(multiplier=multiplier, shift=shift)
        yield from self._select(0, source, same, 0)

    def _select(
        self, operand: int, source: Integers, post: Requantisation, bias: int
    ) -> Iterator[Piece]:
        """Moves channels: output channel c is input channel ``source[c]``, or left alone at -1."""
        lanes = self.word_bytes
        for word, channels in self._out_words():
            wanted = source[channels]
            if (wanted < 0).all():
                continue
            used = np.flatnonzero(wanted >= 0)
            multiplier, shift = self._of(post, slice(0, len(wanted)))
            piece = Piece(
                path=Path.SCALARS,
                operand=operand,
                first_word=int(wanted[used[0]]) // lanes,
                kernel=(1, 1),
                geometry=Conv2d(),
                region=self._whole,
                block=self._parameters(np.full(len(wanted), bias), multiplier, shift),
                scalars=(1, 1),
                out_word=word,
                mask=sum(1 << int(n) for n in used),
                post=post,
            )
            if (wanted[used] == piece.first_word * lanes + used).all():
                yield piece
                continue
            # The bytes do not lie in their lanes: a product with a matrix of ones moves them.
            first, last = int(wanted[used].min()) // lanes, int(wanted[used].max()) // lanes
            matrix = np.zeros((len(wanted), 1, self.shapes[operand][3]), np.int8)
            matrix[used, 0, wanted[used]] = 1
            words = last - first + 1
            yield replace(
                piece,
                path=Path.ARRAY,
                first_word=first,
                words=words,
                block=piece.block + self._matrix(matrix, first_word=first, words=words),
            )


def _regions(
    o: AveragePool, shape: Shape, output: Shape
) -> Iterator[tuple[tuple[int, int, int, int], int]]:
    """Regions of the output whose windows hold equally many elements of the image."""
    if not o.border:
        yield (0, output[1], 0, output[2]), o.kernel[0] * o.kernel[1]
        return
    spans = []
    for axis in range(2):
        start = np.arange(output[1 + axis]) * o.geometry.stride[axis] - o.geometry.padding[axis]
        inside = np.minimum(start + o.kernel[axis], shape[1 + axis]) - np.maximum(start, 0)
        cuts = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), len(inside)]
        spans.append([(a, b, int(inside[a])) for a, b in zip(cuts, cuts[1:], strict=False)])
    for top, bottom, high in spans[0]:
        for left, right, wide in spans[1]:
            yield (top, bottom, left, right), high * wide
