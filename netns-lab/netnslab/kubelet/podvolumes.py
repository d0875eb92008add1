"""Makes the volumes of one pod, and keeps their files as the objects are that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kapi.errors import ApiError, NotFound
from netnslab.errors import LabError
from netnslab.kubelet import volumefiles, volumes
from netnslab.kubelet.environment import Missing
from netnslab.kubelet.podspec import PodSpec
from netnslab.kubelet.sandbox import Sandbox
from netnslab.kubelet.surroundings import Surroundings
from netnslab.kubelet.volumes import File, Given
from netnslab.kubelet.volumespec import ACCOUNT, SourceKind, Volume

Json = dict[str, Any]

TOKEN_SECONDS = 365 * 24 * 3600  # longer than any lab: tokens are not renewed


class PodVolumes:
    """The volumes of one pod in its sandbox."""

    def __init__(self, surroundings: Surroundings, pod: PodSpec, sandbox: Sandbox) -> None:
        self._surroundings = surroundings
        self._pod = pod
        self._sandbox = sandbox
        self._volumes: tuple[Volume, ...] | None = None
        self._tokens: dict[str, str] = {}
        self._written: dict[str, dict[str, File]] = {}

    async def make(self) -> None:
        """Make all of them; those that are made have their files renewed where something has changed.

        Each is made, whatever the others lack. Raises LabError for what lacks, in the kubelet's words.
        """
        if self._volumes is None:
            self._volumes = await self._begun()
        around = self._surroundings
        given = Given(self._pod, around.placement(self._sandbox), around.sources(), self._tokens, around.authority)
        failures = []
        for volume in self._volumes:
            try:
                self._write(volume, given)
            except (Missing, LabError) as error:
                failures.append(_failed(volume, error))
        if failures:
            raise LabError("; ".join(failures))

    @property
    def change(self) -> bool:
        """Whether there are any that may change."""
        return volumes.follow_their_pod(self._pod.volumes) or bool(volumes.objects(self._pod.volumes))

    def mark(self, pod: PodSpec) -> bool:
        """Take in the pod with its present labels and annotations. Gives whether there are any among the files."""
        self._pod = pod
        return volumes.follow_their_pod(pod.volumes)

    def uses(self, kind: SourceKind, key: str) -> bool:
        """Whether an object, `namespace/name`, is one that files come from."""
        namespace, _, name = key.partition("/")
        return namespace == self._pod.namespace and (kind, name) in volumes.objects(self._pod.volumes)

    def claims(self, key: str) -> bool:
        """Whether a PersistentVolumeClaim, `namespace/name`, is one that a volume stands for."""
        return key in {f"{self._pod.namespace}/{volume.claim}" for volume in self._pod.volumes if volume.claim}

    async def _begun(self) -> tuple[Volume, ...]:
        """Have the tokens, and the folders that the pod writes in. Gives the volumes there are to be.

        Raises LabError while there is no claim that one is for; that one goes later is nothing to the pod.
        """
        lacking = [volume for volume in self._pod.volumes if volume.claim and not self._is_claimed(volume)]
        if lacking:
            texts = (_failed(volume, f'persistentvolumeclaim "{volume.claim}" not found') for volume in lacking)
            raise LabError("; ".join(texts))
        wanted = (*self._pod.volumes, ACCOUNT) if self._shows_account() else self._pod.volumes
        for audience in volumes.audiences(wanted) - self._tokens.keys():
            self._tokens[audience] = await self._token(audience)
        for volume in wanted:
            if volume.claim:
                claimed = self._surroundings.claims / self._pod.namespace / volume.claim
                volumefiles.make_empty(claimed)
                volumefiles.lead_to(self._folder(volume), claimed)
            elif not volume.made:
                volumefiles.make_empty(self._folder(volume))
        return wanted

    def _is_claimed(self, volume: Volume) -> bool:
        return f"{self._pod.namespace}/{volume.claim}" in self._surroundings.volume_claims

    def _write(self, volume: Volume, given: Given) -> None:
        """Write the files of a volume that has some, if one has changed. Raises Missing and LabError."""
        files = volumes.files(volume, given) if volume.made else {}
        if volume.made and self._written.get(volume.name) != files:
            volumefiles.write(self._folder(volume), files)
            self._written[volume.name] = files

    def _folder(self, volume: Volume) -> Path:
        return self._sandbox.volumes / volume.name

    def _shows_account(self) -> bool:
        """Whether the pod is to have a token of its ServiceAccount: it says so itself, or its account does."""
        if self._pod.account_token is not None:
            return self._pod.account_token
        account = self._surroundings.accounts.get(f"{self._pod.namespace}/{self._pod.service_account}") or {}
        return account.get("automountServiceAccountToken") is not False

    async def _token(self, audience: str) -> str:
        account, namespace = self._pod.service_account, self._pod.namespace
        told = [audience] if audience else []
        try:
            return await self._surroundings.client.token(account, namespace, audiences=told, seconds=TOKEN_SECONDS)
        except NotFound as error:
            raise LabError(_failed(ACCOUNT, f'failed to fetch token: serviceaccounts "{account}" not found')) from error
        except ApiError as error:
            raise LabError(_failed(ACCOUNT, f"failed to fetch token: {error}")) from error


def _failed(volume: Volume, why: object) -> str:
    return f'MountVolume.SetUp failed for volume "{volume.name}" : {why}'
