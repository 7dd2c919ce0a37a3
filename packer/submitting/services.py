"""The only list of all services, by name."""

from __future__ import annotations

from packer.submitting.eks_target import EksTarget
from packer.submitting.emr_target import EmrTarget
from packer.submitting.glue_target import GlueTarget
from packer.submitting.sagemaker_target import SageMakerTarget
from packer.submitting.serverless_target import ServerlessTarget
from packer.submitting.submit_options import SubmitTarget
from packer.submitting.target import Target

TARGETS: dict[SubmitTarget, Target] = {
    SubmitTarget.EMR: EmrTarget(),
    SubmitTarget.EMR_SERVERLESS: ServerlessTarget(),
    SubmitTarget.EMR_EKS: EksTarget(),
    SubmitTarget.GLUE: GlueTarget(),
    SubmitTarget.SAGEMAKER: SageMakerTarget(),
}
PROGRAMS = {SubmitTarget.GLUE: "glue_pack.py", SubmitTarget.SAGEMAKER: ""}
"""Program of each target whose program is not `emr_pack.py`; empty for a target that does not pack."""
