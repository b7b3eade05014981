"""AES-128-GCM, from FIPS 197 and NIST SP 800-38D: slow and plain."""


def _times2(x):
    return (x << 1 ^ (0x11B if x & 0x80 else 0)) & 0xFF


def _times(a, b):
    out = 0
    while b:
        out ^= a if b & 1 else 0
        a, b = _times2(a), b >> 1
    return out


def _sbox():
    box = []
    for x in range(256):
        inverse = next((y for y in range(256) if _times(x, y) == 1), 0)
        rotated = [(inverse << n | inverse >> (8 - n)) & 0xFF for n in range(5)]
        box.append(rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63)
    return box


SBOX = _sbox()


def _round_keys(key):
    words = [list(key[i:i + 4]) for i in range(0, 16, 4)]
    round_constant = 1
    for i in range(4, 44):
        word = words[-1]
        if i % 4 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= round_constant
            round_constant = _times2(round_constant)
        words.append([a ^ b for a, b in zip(words[-4], word)])
    return [sum(words[i:i + 4], []) for i in range(0, 44, 4)]


def _encrypt(keys, block):
    state = [a ^ b for a, b in zip(block, keys[0])]
    for n in range(1, 11):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if n < 10:
            columns = [state[i:i + 4] for i in range(0, 16, 4)]
            state = [_times2(c[i]) ^ _times2(c[(i + 1) % 4]) ^ c[(i + 1) % 4] ^ c[(i + 2) % 4] ^ c[(i + 3) % 4]
                     for c in columns for i in range(4)]
        state = [a ^ b for a, b in zip(state, keys[n])]
    return bytes(state)


def _multiply(x, y):
    out = 0
    for bit in range(127, -1, -1):
        out ^= y if x >> bit & 1 else 0
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return out


def aes128_gcm(key, nonce, plain, head):
    """Ciphertext and tag behind it; the nonce has 12 bytes."""
    keys = _round_keys(key)
    sealed = bytearray()
    for i in range(0, len(plain), 16):
        stream = _encrypt(keys, nonce + (2 + i // 16).to_bytes(4, "big"))
        sealed += bytes(a ^ b for a, b in zip(plain[i:i + 16], stream))
    h = int.from_bytes(_encrypt(keys, bytes(16)), "big")
    total = 0
    padded = b"".join(part + bytes(-len(part) % 16) for part in (head, bytes(sealed)))
    for i in range(0, len(padded), 16):
        total = _multiply(total ^ int.from_bytes(padded[i:i + 16], "big"), h)
    total = _multiply(total ^ (len(head) * 8 << 64 | len(sealed) * 8), h)
    mask = int.from_bytes(_encrypt(keys, nonce + (1).to_bytes(4, "big")), "big")
    return bytes(sealed) + (total ^ mask).to_bytes(16, "big")
