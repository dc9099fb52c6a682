//! Images of Flyte tasks: which environment stands for one, and the builds of those that have layers. A build runs within walls wherever there are
//! some: it reaches the server and where packages come from, and writes nothing but its own environment.

use executors::AttemptSpec;
use flyte::Call;
use flyte::process::Environment;
use flyte::wire::{TaskId, TaskSpec};
use model::{Failure, FailureClass};
use serde_json::Value;

use super::Flyte;

/// The input of a build that is the name of the image.
const IMAGE: &str = "target_image";

impl Flyte {
    /// Gives a process what its image has of variables, and the builder of images the server's settings of pip. True when the process has to be
    /// started with them.
    pub(super) fn prepare_environment(&self, spec: &TaskSpec, input: &mut Value) -> bool {
        let template = spec.task_template.as_ref();
        if flyte::images::runs_the_builder(spec, &self.inner.builder) {
            for (key, value) in flyte::images::settings_of_pip(std::env::vars()) {
                input["env"][key] = value.into();
            }
        }
        let image = template.and_then(|template| template.container.as_ref()).map(|container| container.image.as_str());
        match flyte::process::environment(image.unwrap_or_default(), "") {
            Environment::Named(name) => flyte::images::add_variables(&self.inner.images.environments().join(name), input),
            Environment::Plain(_) => false,
        }
    }

    /// Gives a build its folder, and shows it its program and what the settings of pip name. Refused where the name is somebody else's. Blocks.
    pub(super) fn prepare_build(&self, order: &mut AttemptSpec, call: &Call, project: &str) -> Result<(), Failure> {
        let unreadable = || Failure::new(FailureClass::Environment, "what is to be built cannot be read");
        let inputs = flyte::key(&call.inputs).and_then(|key| self.inner.objects.get(key).ok()).ok_or_else(unreadable)?;
        let inputs = flyte::interface::outputs(&inputs).ok_or_else(unreadable)?;
        let image = inputs.get(IMAGE).and_then(Value::as_str).unwrap_or_default();
        let folder = self.inner.images.begin(image, project).map_err(|taken| Failure {
            code: Some("ImageBuildError".into()),
            permanent: true,
            ..Failure::new(FailureClass::Environment, taken.to_string())
        })?;
        order.writable.extend(folder);
        order.shown.push(self.inner.builder.clone());
        order.shown.extend(flyte::images::files_of_pip(&flyte::images::settings_of_pip(std::env::vars())));
        Ok(())
    }

    /// The task that builds images.
    pub fn image_builder(&self) -> (TaskId, TaskSpec) {
        flyte::images::task(&self.inner.builder)
    }

    /// Whether an image is there that was built, and is for a project.
    pub fn has_image(&self, image: &str, project: &str) -> bool {
        self.inner.images.is_built(image, project)
    }

    /// Refuses an image that no environment stands for, or one that another project built, before a process is begun.
    pub(super) fn check_environment(&self, spec: &TaskSpec, project: &str) -> Result<(), Failure> {
        let container = spec.task_template.as_ref().and_then(|template| template.container.as_ref());
        let image = container.map(|container| container.image.as_str()).unwrap_or_default();
        let Environment::Named(name) = flyte::process::environment(image, "") else { return Ok(()) };
        let folder = self.inner.images.environments().join(&name);
        if folder.join("bin/python").exists() && !folder.join(flyte::images::BUILDING).exists() {
            return match self.inner.images.builder_of(&name) {
                Some(builder) if builder != project => Err(no_environment(format!(
                    "the image `{image}` was built by another project than `{project}`, and is only for that one: give the image another name"
                ))),
                _ => Ok(()),
            };
        }
        Err(no_environment(format!("no environment stands for the image `{image}`: make one in `{}`", folder.display())))
    }
}

/// There is no environment for the image of a task.
pub(super) fn no_environment(message: String) -> Failure {
    let mut failure = Failure::new(FailureClass::Environment, message);
    failure.code = Some("InvalidImageName".into());
    failure.permanent = true;
    failure
}
