"""docs/TRUST.md: the score, with 50 decimal digits, against which the fixed point is held."""
from decimal import Decimal as D, getcontext

WEIGHTS = {"success": D(0), "failed": D("0.1"), "timeout": D("0.2"), "violation": D(5), "invalid": D(50)}


def q32(x):
    return int((D(x) * 2**32).to_integral_value())


def score(g, b, n, v):
    m = (1 + g) / (2 + g + b)
    r = m - D("1.28") * (m * (1 - m) / (3 + g + b)).sqrt()
    return r - D("0.1") * max(0, n - 2) ** 2 - D("0.05") * v * v


def life(events):
    """(seconds, event, bytes) in order; what the score is after each."""
    g = b = v = D(0)
    allowance, before, until, cuts = D(8), 0, 0, 0
    for at, event, size in events:
        dt = D(at - before)
        before = at
        g *= D(2) ** (-dt / 86400)
        b *= D(2) ** (-dt / 604800)
        v *= D(2) ** (-dt / 604800)
        allowance = min(D(8), allowance + 8 * dt / 3600)
        if at >= until:  # in quarantine nothing counts
            if event == "success":
                x = min(D(1), D(size) / 2**20, allowance)
                allowance -= x
                g += x
            b += WEIGHTS[event]
            v += event == "violation"
            if event == "invalid":
                until = at + 86400 * 2**cuts
                cuts += 1
        yield "event %d %s %d %d" % (at, event, size, q32(score(g, b, 1, v)))


def make_trust():
    getcontext().prec = 50
    lines = [
        "# docs/TRUST.md section 1. score G B N V S: fractions in 2^-32, N the peers of the subnet.",
        "# event SECONDS EVENT BYTES S: the life of one peer, and its score after each event.",
    ]
    for g, b, n, v in (("0", "0", 1, "0"), ("1", "0", 1, "0"), ("8", "0", 2, "0"), ("277", "0", 1, "0"),
                       ("0", "0.2", 1, "0"), ("0", "1", 1, "0"), ("0", "5", 1, "1"), ("0", "50", 1, "0"),
                       ("100", "5", 1, "1"), ("100", "50", 1, "0"), ("200", "50", 1, "0"), ("40", "10", 1, "0"),
                       ("3.25", "0.7", 3, "0.5"), ("12", "0.3", 5, "0"), ("0.001", "1000", 1, "2"),
                       ("1000", "100000", 1, "0"), ("63.5", "1.125", 1, "3"), ("5", "5", 9, "0")):
        lines.append("score %d %d %d %d %d" % (q32(g), q32(b), n, q32(v), q32(score(D(g), D(b), n, D(v)))))
    events = [(0, "success", 300000), (10, "success", 2 << 20), (20, "timeout", 0), (18000, "success", 1 << 20),
              (21600, "failed", 0), (86400, "violation", 0), (172800, "success", 700000), (259200, "invalid", 0),
              (259205, "success", 1 << 20), (345601, "success", 1 << 20), (345700, "invalid", 0),
              (500000, "success", 1 << 20), (600000, "success", 1 << 20)]
    events += [(700000 + 60 * i, "success", 1 << 20) for i in range(20)]
    events += [(86400 * i, "success", 1 << 20) for i in range(9, 30)]
    return lines + list(life(events))
