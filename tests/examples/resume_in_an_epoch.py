"""A loop that stops in the middle of an epoch, and another process that goes on with the very next sample.

python tests/examples/resume_in_an_epoch.py shards/
"""

import json
import sys

import packer


def keys_of(loader: packer.Loader, num_batches: int) -> list[str]:
    batches = iter(loader)
    return [key for _ in range(num_batches) for key in next(batches).keys]


settings = {"image_px": 32, "keys": True}
with packer.Loader(sys.argv[1], "train", batch_size=6, **settings) as whole:
    expected = keys_of(whole, 4)

with packer.Loader(sys.argv[1], "train", batch_size=6, **settings) as first:
    seen = keys_of(first, 2)
    state = json.dumps(first.state_dict())  # beside the checkpoint of the model
print(f"stopped after {len(seen)} samples: {state}")

# The same samples follow, here in batches of another size; so they do for another number of ranks.
with packer.Loader(sys.argv[1], "train", batch_size=4, **settings) as second:
    second.load_state_dict(json.loads(state))
    seen += keys_of(second, 3)
print("went on with the same samples" if seen == expected else "the order changed")
