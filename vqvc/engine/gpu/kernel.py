"""The sampling loop as one Triton kernel, which generates several frames per launch.

Streams are divided into groups of ``ROWS``. A team of ``TEAM`` programs computes a group, and each program computes a
slice of the columns of every product. With ``TEAM`` 1, everything except the past stays in registers. Otherwise the
programs synchronise once per layer, at a counter in global memory, and exchange their slices of z and x. One
synchronisation is enough, because the product that follows z is multiplied out beforehand: with V = W_residual[l]
W_tap[l + 1],

    x[l + 1] W_tap[l + 1] = x[l] W_tap[l + 1] + z[l] V

so that no program has to wait for x[l + 1]. Values that other programs write are read past the first-level cache
(".cg"), which is not coherent. ``weights`` prepares the weights, ``rows.Rows`` computes the same in plain PyTorch.

SPLIT: parts of the inner dimension of a product, which one warp each computes and which are added up at the end. A
product of few rows and columns would otherwise be one long chain of additions. If SPLIT is above 1, it is the first
dimension of the operands.
"""

import triton
import triton.language as tl

from vqvc.audio import mulaw

CLASSES = tl.constexpr(mulaw.CLASSES)
PATIENCE = tl.constexpr(1 << 21)  # reads of the counter, more than a second, before a program gives up


@triton.jit
def _across(rows, SPLIT: tl.constexpr):
    """Reshape numbers per row (ROWS,) to broadcast against the left operand of a product."""
    if SPLIT == 1:
        return rows[:, None]
    else:
        return rows[None, :, None]


@triton.jit
def _along(WIDTH: tl.constexpr, SPLIT: tl.constexpr):
    """Column indices of the left operand of a product."""
    if SPLIT == 1:
        return tl.arange(0, WIDTH)[None, :]
    else:
        part: tl.constexpr = WIDTH // SPLIT
        return (tl.arange(0, SPLIT) * part)[:, None, None] + tl.arange(0, part)[None, None, :]


@triton.jit
def _weights(at, INNER: tl.constexpr, WIDTH: tl.constexpr, SPLIT: tl.constexpr):
    """Load the right operand (INNER, WIDTH) of a product, which is stored row by row from ``at`` on."""
    if SPLIT == 1:
        return tl.load(at + tl.arange(0, INNER)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :])
    else:
        part: tl.constexpr = INNER // SPLIT
        inner = (tl.arange(0, SPLIT) * part)[:, None, None] + tl.arange(0, part)[None, :, None]
        return tl.load(at + inner * WIDTH + tl.arange(0, WIDTH)[None, None, :])


@triton.jit
def _nothing(ROWS: tl.constexpr, WIDTH: tl.constexpr, SPLIT: tl.constexpr):
    """Zeros, for accumulating products."""
    if SPLIT == 1:
        return tl.zeros((ROWS, WIDTH), tl.float32)
    else:
        return tl.zeros((SPLIT, ROWS, WIDTH), tl.float32)


@triton.jit
def _total(sums, SPLIT: tl.constexpr):
    """Add up the parts of accumulated products: (ROWS, WIDTH)."""
    if SPLIT == 1:
        return sums
    else:
        return tl.sum(sums, 0)


@triton.jit
def _arrive(counter, TEAM: tl.constexpr):
    """Signal to the team that this program's results are stored."""
    if TEAM > 1:
        tl.debug_barrier()
        tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def _wait(counter, meetings, patience, failed, TEAM: tl.constexpr):
    """Wait until the team has arrived ``meetings`` times; returns ``patience``, or 0 after a failure."""
    if TEAM > 1:
        looks = 0
        while (tl.load(counter, volatile=True) < meetings * TEAM) & (looks < patience):
            looks += 1
        if looks >= patience:
            tl.store(failed, 1)
            patience = 0
        tl.debug_barrier()
    return patience


@triton.jit
def _index(weights, u):
    """Draw indices (ROWS,) from softmax(weights) with uniform numbers u (ROWS,). Sums are in float64."""
    mass = tl.exp(weights - tl.max(weights, 1)[:, None]).to(tl.float64)
    below = tl.cumsum(mass, 1) <= (u * tl.sum(mass, 1))[:, None]
    return tl.sum(below.to(tl.int32), 1)


@triton.jit(do_not_specialize=["count", "frames", "first", "raw_step"])
def synthesize(
    layer_weights, skip_weights, mix_weights, out_weights, residual_bias, skip_bias, mix_bias, out_bias,
    embed, lpc_input, amplitudes, edges, dilations, starts, now,
    history, gated, head, raw, counters, failed,
    previous_at, lpc_residual_at, signal,
    terms, predictor, gains, uniform, noise, forced, classes,
    temperature, count, frames, first, raw_step,
    HOP: tl.constexpr, KERNEL: tl.constexpr, LAYERS: tl.constexpr,
    RESIDUAL: tl.constexpr, HALF: tl.constexpr, SKIP: tl.constexpr, OUTPUTS: tl.constexpr, WIDE: tl.constexpr,
    MIXTURES: tl.constexpr, ORDER: tl.constexpr, PARTS: tl.constexpr,
    LPC_INPUT_GAIN: tl.constexpr, LPC_RESIDUAL_LIMIT: tl.constexpr, MIN_LOG_SCALE: tl.constexpr,
    ROWS: tl.constexpr, TEAM: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    """Generate ``frames`` frames of HOP samples for ROWS streams from ``first`` + group * ROWS on, of ``count`` in all.

    The grid is (groups * TEAM,). RESIDUAL, HALF, SKIP and WIDE (columns of one part of the outputs) are padded widths.

    Weights are from ``weights.Packed``, the state is that of ``span.SpanRows``. Conditioning: terms (count, frames,
    LAYERS, 2 * HALF), predictor (count, frames, ORDER) with the latest sample first, gains (count, frames). Per sample:
    uniform, noise, forced, classes (frames * HOP, count). raw: (frames * HOP or 1, count, OUTPUTS), with ``raw_step``
    elements from one sample to the next.
    """
    kind = gated.dtype.element_ty
    group, member = tl.program_id(0) // TEAM, tl.program_id(0) % TEAM
    counter = counters + group * 32
    GATES: tl.constexpr = 2 * HALF // TEAM
    NEXT: tl.constexpr = RESIDUAL // TEAM
    SUMS: tl.constexpr = SKIP // TEAM
    FUSED: tl.constexpr = (RESIDUAL + HALF) * GATES if TEAM > 1 else RESIDUAL * GATES
    PAST: tl.constexpr = (KERNEL - 1) * RESIDUAL * GATES
    CHUNK: tl.constexpr = PAST + FUSED + HALF * NEXT
    rows = first + group * ROWS + tl.arange(0, ROWS)
    live = rows < count
    rows = rows.to(tl.int64)
    row, alive = _across(rows, SPLIT), _across(live, SPLIT)
    column, lane = rows[:, None], live[:, None]
    inner, half, sums = _along(RESIDUAL, SPLIT), _along(HALF, SPLIT), _along(SKIP, SPLIT)
    mine = member * NEXT + tl.arange(0, NEXT)[None, :]
    slices = member * SUMS + tl.arange(0, SUMS)[None, :]
    gate = member * GATES + tl.arange(0, GATES)[None, :]
    pair = member * (GATES // 2) + tl.arange(0, GATES // 2)[None, :]

    previous = tl.load(previous_at + rows, live, other=0)
    lpc_residual = tl.load(lpc_residual_at + rows, live, other=0.0)
    prediction, gain = lpc_residual, lpc_residual
    place = tl.arange(0, ORDER)[None, :]  # sample t of the span lies in place t % ORDER
    past = tl.load(signal + column * ORDER + ((-1 - place) & (ORDER - 1)), lane, other=0.0)
    meetings, patience = 0, PATIENCE
    for t in range(frames * HOP):
        frame = t // HOP
        u = tl.load(uniform + t * count + rows, live, other=0.5)
        given = tl.load(forced + t * count + rows, live, other=0)
        own = tl.load(embed + previous[:, None] * RESIDUAL + mine)
        if MIXTURES > 0:
            age = (t - 1 - place) & (ORDER - 1)
            conditioning = tl.load(predictor + (column * frames + frame) * ORDER + age, lane, other=0.0)
            gain = tl.load(gains + rows * frames + frame, live, other=1.0)
            deviation = tl.load(noise + t * count + rows, live, other=0.0)
            prediction = tl.sum(conditioning * past, 1)
            own += (prediction * LPC_INPUT_GAIN)[:, None] * tl.load(lpc_input + mine)
            own += lpc_residual[:, None] * tl.load(lpc_input + RESIDUAL + mine)
        x = own.to(kind)
        if TEAM > 1:  # every program computes the whole input of the first layer
            entry = tl.load(embed + _across(previous, SPLIT) * RESIDUAL + inner)
            if MIXTURES > 0:
                entry += _across(prediction * LPC_INPUT_GAIN, SPLIT) * tl.load(lpc_input + inner)
                entry += _across(lpc_residual, SPLIT) * tl.load(lpc_input + RESIDUAL + inner)
            x = entry.to(kind)
        z = _nothing(ROWS, HALF // SPLIT, SPLIT).to(kind)
        skip = _nothing(ROWS, SUMS, SPLIT)
        before = tl.zeros((), tl.int64)  # where the layer before keeps this sample
        for layer in range(LAYERS):
            # what does not depend on the previous layer; all loads first, so that they overlap
            at = layer_weights + (layer * TEAM + member).to(tl.int64) * CHUNK
            shares = skip_weights + (layer * TEAM + member).to(tl.int64) * (HALF * SUMS)
            dilation, start = tl.load(dilations + layer), tl.load(starts + layer).to(tl.int64)
            length = (KERNEL - 1) * dilation + 1
            slot = (tl.load(now + layer) + t) % length
            here = start + slot
            present = _weights(at + PAST, RESIDUAL, GATES, SPLIT)
            onward = _weights(at + PAST + FUSED, HALF, NEXT, SPLIT)
            aside = _weights(shares, HALF, SUMS, SPLIT)
            bias = tl.load(residual_bias + layer * RESIDUAL + mine)
            term = tl.load(terms + ((column * frames + frame) * LAYERS + layer) * (2 * HALF) + gate, lane, other=0.0)
            if TEAM > 1:
                ahead = _weights(at + PAST + RESIDUAL * GATES, HALF, GATES, SPLIT)
            acc = _nothing(ROWS, GATES, SPLIT)
            for k in tl.static_range(KERNEL - 1):
                back = start + (slot + length - (KERNEL - 1 - k) * dilation) % length
                old = history + (back * count + row) * RESIDUAL + inner
                old = tl.load(old, alive, other=0.0, cache_modifier=".cg")
                tap = _weights(at + k * RESIDUAL * GATES, RESIDUAL, GATES, SPLIT)
                acc = tl.dot(old, tap, acc, input_precision="ieee")
            if TEAM > 1:
                if layer > 0:
                    patience = _wait(counter, meetings, patience, failed, TEAM)
                    x = history + (before * count + row) * RESIDUAL + inner
                    x = tl.load(x, alive, other=0.0, cache_modifier=".cg")
                    z = gated + ((layer - 1) * count + row) * HALF + half
                    z = tl.load(z, alive, other=0.0, cache_modifier=".cg")
                acc = tl.dot(x, present, acc, input_precision="ieee")
                acc = tl.dot(z, ahead, acc, input_precision="ieee")
            else:
                own = tl.dot(z, onward, own, input_precision="ieee") + bias
                skip = tl.dot(z, aside, skip, input_precision="ieee")
                acc = tl.dot(own.to(kind), present, acc, input_precision="ieee")
            left, right = tl.split(tl.reshape(_total(acc, SPLIT) + term, (ROWS, GATES // 2, 2)))
            fresh = ((2 * tl.sigmoid(2 * left) - 1) * tl.sigmoid(right)).to(kind)
            if TEAM > 1:
                tl.store(gated + (layer * count + column) * HALF + pair, fresh, lane)
                step = tl.dot(z, onward, _nothing(ROWS, NEXT, SPLIT), input_precision="ieee")
                own += _total(step, SPLIT) + bias
            tl.store(history + (here * count + column) * RESIDUAL + mine, own.to(kind), lane)
            if TEAM > 1:
                _arrive(counter, TEAM)
                meetings += 1
                skip = tl.dot(z, aside, skip, input_precision="ieee")
            else:
                z = fresh
            before = here
        # from the sum of the skips to the raw outputs
        shares = skip_weights + (LAYERS * TEAM + member).to(tl.int64) * (HALF * SUMS)
        last = _weights(shares, HALF, SUMS, SPLIT)
        if TEAM > 1:
            patience = _wait(counter, meetings, patience, failed, TEAM)
            done = ((LAYERS - 1) * count + row) * HALF + half
            z = tl.load(gated + done, alive, other=0.0, cache_modifier=".cg")
        skip = tl.dot(z, last, skip, input_precision="ieee")
        relu = tl.maximum(_total(skip, SPLIT) + tl.load(skip_bias + slices), 0.0).to(kind)
        mix = _weights(mix_weights + member * (SKIP * SUMS), SKIP, SUMS, SPLIT)
        if TEAM > 1:
            tl.store(head + column * SKIP + slices, relu, lane)
            _arrive(counter, TEAM)
            meetings += 1
            patience = _wait(counter, meetings, patience, failed, TEAM)
            relu = tl.load(head + row * SKIP + sums, alive, other=0.0, cache_modifier=".cg")
        hidden = _total(tl.dot(relu, mix, _nothing(ROWS, SUMS, SPLIT), input_precision="ieee"), SPLIT)
        hidden = tl.maximum(hidden + tl.load(mix_bias + slices), 0.0).to(kind)
        if TEAM > 1:
            second = head + count.to(tl.int64) * SKIP
            tl.store(second + column * SKIP + slices, hidden, lane)
            _arrive(counter, TEAM)
            meetings += 1
            patience = _wait(counter, meetings, patience, failed, TEAM)
            hidden = tl.load(second + row * SKIP + sums, alive, other=0.0, cache_modifier=".cg")
        raw_at = raw + t * raw_step.to(tl.int64) + column * OUTPUTS
        if MIXTURES > 0:  # few columns: every program computes all of them
            wide = tl.arange(0, WIDE)[None, :]
            mixed = wide < MIXTURES
            logit = _outputs(hidden, out_weights, ROWS, SKIP, WIDE, PARTS, SPLIT) + tl.load(out_bias + wide)
            at = out_weights + PARTS * SKIP * WIDE
            offset = _outputs(hidden, at, ROWS, SKIP, WIDE, PARTS, SPLIT) + tl.load(out_bias + WIDE + wide)
            at += PARTS * SKIP * WIDE
            scale = _outputs(hidden, at, ROWS, SKIP, WIDE, PARTS, SPLIT) + tl.load(out_bias + 2 * WIDE + wide)
            keep = lane & mixed & (member == 0)
            tl.store(raw_at + wide, logit, keep)
            tl.store(raw_at + MIXTURES + wide, offset, keep)
            tl.store(raw_at + 2 * MIXTURES + wide, scale, keep)
            index = _index(tl.where(mixed, logit / temperature, float("-inf")), u)
            chosen = wide == tl.minimum(index, MIXTURES - 1)[:, None]
            log_scale = tl.log(gain) + tl.sum(tl.where(chosen, scale, 0.0), 1)
            mean = prediction + gain * tl.sum(tl.where(chosen, offset, 0.0), 1)
            drawn = mean + deviation * tl.exp(tl.maximum(log_scale, MIN_LOG_SCALE))
            edge = tl.load(edges + tl.arange(0, CLASSES))
            index = tl.sum((edge[None, :] <= drawn[:, None]).to(tl.int32), 1)
        else:
            width: tl.constexpr = WIDE // TEAM
            wide = member * width + tl.arange(0, width)[None, :]
            at = out_weights + member * (PARTS * SKIP * width)
            logit = _outputs(hidden, at, ROWS, SKIP, width, PARTS, SPLIT) + tl.load(out_bias + wide)
            tl.store(raw_at + wide, logit, lane)
            if TEAM > 1:
                _arrive(counter, TEAM)
                meetings += 1
                patience = _wait(counter, meetings, patience, failed, TEAM)
                logit = tl.load(raw_at + tl.arange(0, WIDE)[None, :], lane, other=0.0, cache_modifier=".cg")
            index = tl.minimum(_index(logit / temperature, u), WIDE - 1)
        previous = tl.where(given >= 0, given, index)
        tl.store(classes + t * count + rows, previous, live & (member == 0))
        if MIXTURES > 0:
            amplitude = tl.load(amplitudes + previous)
            lpc_residual = (amplitude - prediction) / gain
            lpc_residual = tl.minimum(tl.maximum(lpc_residual, -LPC_RESIDUAL_LIMIT), LPC_RESIDUAL_LIMIT)
            past = tl.where(place == (t & (ORDER - 1)), amplitude[:, None], past)
        tl.debug_barrier()  # a thread may read values that another one has stored
    live &= member == 0
    tl.store(previous_at + rows, previous, live)
    tl.store(lpc_residual_at + rows, lpc_residual, live)
    age = (frames * HOP - 1 - place) & (ORDER - 1)
    tl.store(signal + column * ORDER + age, past, live[:, None])


@triton.jit
def _outputs(
    hidden, at, ROWS: tl.constexpr, SKIP: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr, SPLIT: tl.constexpr
):
    """hidden times float32 weights (SKIP, WIDTH), which are stored as PARTS matrices whose sum they are."""
    acc = _nothing(ROWS, WIDTH, SPLIT)
    for part in tl.static_range(PARTS):
        weights = _weights(at + part * SKIP * WIDTH, SKIP, WIDTH, SPLIT)
        acc = tl.dot(hidden, weights, acc, input_precision="ieee")
    return _total(acc, SPLIT)
