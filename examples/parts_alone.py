"""Each part works alone: the paper's losses on features of your own, in any training loop."""

import torch

from strongreid.losses import CenterLoss, batch_hard_triplet, identity_loss
from strongreid.training import learning_rate

labels = torch.arange(16).repeat_interleave(4)  # 16 identities x 4 pictures
features = torch.randn(64, 256, requires_grad=True)
logits = torch.randn(64, 751)

center = CenterLoss(identities=751, dim=256)
loss = identity_loss(logits, labels) + batch_hard_triplet(features, labels) + 0.0005 * center(features, labels)
loss.backward()
print(f"loss {loss.item():.3f}, gradient norm {features.grad.norm().item():.3f}")
print("learning rate by epoch:", [round(3.5e-4 * learning_rate(epoch), 7) for epoch in (1, 10, 40, 41, 71)])
