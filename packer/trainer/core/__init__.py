"""What every trainer does, whatever computes its gradients. Nothing here knows a framework; `framework` is the seam."""
